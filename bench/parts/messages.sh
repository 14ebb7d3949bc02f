# Messages between the ranks of this host, beside a local addition and a copy: the test of real
# messages prints them.
# shellcheck shell=bash disable=SC2154

part_messages() {
    local program=$build/tests/mpi_messaging line add copy
    built messages "$program" || return
    if ! timeout 120 "$mpirun" -n 3 "$program" --speed >"$out/messages.txt" 2>&1; then
        echo "messages: FAILED: $(last_words "$out/messages.txt")"
        return
    fi
    while IFS= read -r line; do
        local what=${line:0:40} ms
        ms=$(sed -nE 's/^.{40} +([0-9.]+) ms.*/\1/p' <<<"$line")
        what=${what%"${what##*[! ]}"}
        case $line in
        'local add'*) add=$ms ;;
        'local copy'*) copy=$ms ;;
        push*one*) limit "messages: $what" "$ms" ms "$add" 'local add' - ;;
        push*) limit "messages: $what (2)" "$ms" ms "$(calc %.3f "2 * $add")" 'two local adds' - ;;
        pull*one*) limit "messages: $what" "$ms" ms "$copy" 'local copy' - ;;
        pull*)
            limit "messages: $what (2)" "$ms" ms "$(calc %.3f "2 * $copy")" 'two local copies' -
            ;;
        *) echo "$line" ;;
        esac
    done <"$out/messages.txt"
}
