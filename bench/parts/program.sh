# The whole program: 4 workers and a server on this host train for some mini-batches; each rank is
# watched from outside.
# shellcheck shell=bash disable=SC2154

part_program() {
    local folder=$tmp/program begin
    cat >"$tmp/watch" <<'END'
# Keeps what /proc says of the program's memory when its peak was last seen to grow.
"$@" &
child=$! file=$WATCH.${PMI_RANK:-${OMPI_COMM_WORLD_RANK:-0}}
while kill -0 $child 2>/dev/null; do
    now=$(grep -E '^(VmHWM|Rss)' /proc/$child/status 2>/dev/null)
    if [ -n "$now" ] && [ "${now%%$'\n'*}" != "${then:-}" ]; then echo "$now" >"$file"; fi
    then=${now%%$'\n'*}
    sleep 0.25
done
wait $child
END
    begin=$(now_s)
    if ! WATCH=$tmp/rss timeout 300 "$mpirun" -n 5 bash "$tmp/watch" "$build/nbsgd" --scheme ssgd \
        --network resnet50 --stem cifar --batch 64 --minibatches 2 --dtype f32 \
        --backend "$BACKEND" --threads 1 --kernel-cache "$kernels" \
        --updates 2 --eval-samples 32 --eval-batches 1 --eval-every 1000000000 --results "$folder" \
        >"$tmp/program.log" 2>&1; then
        echo "program: FAILED: $(last_words "$tmp/program.log")"
        return
    fi
    cp "$folder/ranks.csv" "$out/program-ranks.csv"
    printf 'program: mpirun -n 5, ResNet-50, CIFAR stem, mini-batches of 32, float32, '
    printf '1 thread per rank: %.0f s in all\n' \
        "$(calc %.1f "$(now_s) - $begin")"
    local worker=0 server=0 i mb
    : >"$out/program-memory.txt"
    for i in 0 1 2 3 4; do
        mb=$(awk '/^VmHWM/ { printf "%.0f", $2 * 1.024e-3 }' "$tmp/rss.$i")
        sed "s/^/rank $i /" "$tmp/rss.$i" >>"$out/program-memory.txt"
        if [ $i = 0 ]; then server=$mb; elif [ "$mb" -gt "$worker" ]; then worker=$mb; fi
    done
    limit 'memory: a worker, at its peak' "$worker" MB - - 'v<1500'
    limit 'memory: the server of 4 workers, at its peak' "$server" MB - - 'v<1000'
    # Logging is rank 0's, outside the training clock; what a worker feels of it would be waiting.
    local loader transfer
    read -r loader transfer < <(awk -F, '/^#/ { next }
        !named { named = 1; for (i = 1; i <= NF; i++) at[$i] = i; next }
        $at["role"] == "worker" { work += $at["compute_s"] + $at["transfer_s"];
            loader += $at["loader_s"]; transfer += $at["transfer_s"] }
        END { printf "%.4f %.4f\n", 100 * loader / work,
            100 * transfer / work }' "$folder/ranks.csv")
    limit 'loader: share of the workers'\'' step' "$loader" percent - - -
    limit 'messages: share of the workers'\'' step' "$transfer" percent - - -
    limit 'loader and messages together' "$(calc %.4f "$loader + $transfer")" percent - - 'v<3'
}
