# What the heads of files say, lines of "# name: value", for figures. No shell sees a name: gnuplot
# itself reads the lines.
#
#   array heads[1] = ["DIR/eval.csv"]; load here."head.gp"
#
# path("DIR")     the name as gnuplot may have it
# said("name")    the value in the last head, "" where it has none
# footer          what runs ran on, in one line: network, machine, workers, all_seeds
# images          which images evaluations all_judged

# One that begins with '<' or '|' would be a command, with '$' a block of data.
path(name) = name[1:1] eq "/" ? name : "./".name

first_line(text) = (end = strstrt(text, "\n"), end ? text[1:end - 1] : text)
said(name) = (at = strstrt(head, "\n# ".name.": "), \
    at ? first_line(head[at + strlen(name) + 5:]) : "")
number(name) = said(name) eq "" ? 0 : real(said(name)) # a leading 0 would mean octal
with_line(list, line) = line eq "" || strstrt("\n".list, "\n".line."\n") ? list : list.line."\n"
last_line(list) = strstrt(list, "\n") == strlen(list)
comma(list) = last_line(list) ? first_line(list) : \
    first_line(list).", ".comma(list[strstrt(list, "\n") + 1:])
between(before, value, after) = value eq "" ? "" : before.value.after

# A line is one column: no byte of it separates any, or begins a comment.
take(line) = (head = line[1:2] eq "# " ? head.line."\n" : head, 0)
set datafile separator "\001"
set datafile commentschars "\002"
unset datafile columnheaders
all_networks = ""
all_machines = ""
all_workers = ""
all_seeds = ""
all_judged = ""
do for [i=1:|heads|] {
    head = "\n"
    stats path(heads[i]) using (take(strcol(1))) nooutput
    if (said("network") ne "") {
        links = said("machine") ne "" ? said("machine") : \
            said("sim-latency")." s, ".said("sim-bandwidth")." B/s"
        processes = said("world")." on ".said("host").between(", ", said("cores"), " cores"). \
            between(", ", said("cpu"), "")
        workers = number("ranks") > 1 ? sprintf("%d", number("ranks") - number("servers")) : \
            said("workers")
        all_networks = with_line(all_networks, said("network"))
        all_machines = with_line(all_machines, said("world") eq "sim" ? \
            "simulated network (".links.")" : processes)
        all_workers = with_line(all_workers, workers)
        all_seeds = with_line(all_seeds, said("seed"))
    }
    all_judged = with_line(all_judged, said("evaluate"))
}
set datafile commentschars
set datafile separator ","
set datafile columnheaders
footer = all_networks eq "" ? "" : \
    comma(all_networks)."; ".comma(all_machines)."; ".comma(all_workers). \
    (all_workers eq "1\n" ? " worker; seed" : " workers; seed"). \
    (last_line(all_seeds) ? " " : "s ").comma(all_seeds)
# a report says "test or val" of runs that differ
images = all_judged eq "val\n" ? "held-out" : \
    last_line(all_judged) && all_judged ne "test or val\n" ? "test" : "test or held-out"
