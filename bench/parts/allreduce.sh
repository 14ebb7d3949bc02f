# The sum of ResNet-50's gradient among four workers of this host by each of our methods, beside
# MPI_Allreduce; what rma windows cost.
# shellcheck shell=bash disable=SC2154

part_allreduce() {
    local line what ms mpi copy
    if ! timeout 120 "$mpirun" -n 5 "$build/bench/sums" --turns 9 >"$out/allreduce.txt" 2>&1; then
        echo "allreduce: FAILED: $(last_words "$out/allreduce.txt")"
        return
    fi
    took() { sed -nE "s/^$1 +([0-9.]+) ms.*/\1/p" "$out/allreduce.txt"; }
    mpi=$(took 'all-reduce: MPI_Allreduce, in place')
    copy=$(took 'rma window: plain stores by one worker')
    while IFS= read -r line; do
        what=${line:0:40} ms=$(sed -nE 's/^.{40} +([0-9.]+) ms.*/\1/p' <<<"$line")
        what=${what%"${what##*[! ]}"}
        case $what in
        all-reduce:*MPI*) ;;
        all-reduce:*direct) limit "$what, 4 workers" "$ms" ms "$mpi" MPI_Allreduce "v<=$mpi/2" ;;
        all-reduce:*) limit "$what, 4 workers" "$ms" ms "$mpi" MPI_Allreduce - ;;
        'rma window:'*plain*) ;;
        'rma window:'*) limit "$what" "$ms" ms "$copy" 'plain stores' - ;;
        *) echo "$line" ;;
        esac
    done <"$out/allreduce.txt"
}
