# What runs ran on, in one line for a figure: network, machine, workers, seeds. Reads the heads of
# their files, lines of "# name: value".
#
#   awk -f plots/footer.awk DIR/eval.csv ...
function add(what, value) {
    if (value == "" || index("\n" list[what], "\n" value "\n")) return
    list[what] = list[what] value "\n"
    count[what]++
}
function all(what,    text) {
    text = list[what]
    sub(/\n$/, "", text)
    gsub(/\n/, ", ", text)
    return text
}
function machine(    where) {
    if (v["world"] == "sim") {
        where = v["sim-latency"] " s, " v["sim-bandwidth"] " B/s"
        if (v["machine"] != "") where = v["machine"]
        return "simulated network (" where ")"
    }
    where = v["world"] " on " v["host"]
    if (v["cores"] != "") where = where ", " v["cores"] " cores"
    if (v["cpu"] != "") where = where ", " v["cpu"]
    return where
}
function take() {
    if (!("network" in v)) return
    add("network", v["network"])
    add("machine", machine())
    add("workers", v["ranks"] > 1 ? v["ranks"] - v["servers"] : v["workers"])
    add("seed", v["seed"])
    delete v
}
FNR == 1 { take() }
/^# / {
    at = index($0, ": ")
    if (at) v[substr($0, 3, at - 3)] = substr($0, at + 2)
    next
}
{ nextfile }
END {
    take()
    if (list["network"] == "") exit
    print all("network") "; " all("machine") "; " all("workers") \
        (list["workers"] == "1\n" ? " worker" : " workers") "; seed" \
        (count["seed"] > 1 ? "s " : " ") all("seed")
}
