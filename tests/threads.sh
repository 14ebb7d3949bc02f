#!/usr/bin/env bash
# What has threads of its own, under ThreadSanitizer (make tsan): the prefetching loader, and the
# thread that moves messages on, alone and in whole runs, on one host and on several.
#
# Left out, and why: OpenMP's threads (libgomp's barriers are futexes that the sanitizer does not
# see, so each parallel loop looks like a race; hence one thread per rank, and backends that are not
# instrumented), and ranks of the simulated network, which are coroutines of one thread.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
case $nbsgd in */tsan/*) ;; *) skip 'not a build with ThreadSanitizer (make tsan)' ;; esac
export OMP_NUM_THREADS=1 TSAN_OPTIONS=halt_on_error=1
# UCX wraps madvise(), which a thread calls before the sanitizer knows it.
export UCX_MEM_EVENTS=no UCX_MEM_MMAP_HOOK_MODE=none
limit=600
tests=$(dirname "$nbsgd")/tests

cat >race.c <<'E2'
#include <pthread.h>
static int count;
static void *work(void *none)
{
    for (int i = 0; i < 100000; i++)
        count++;
    return none;
}
int main(void)
{
    pthread_t thread;
    pthread_create(&thread, 0, work, 0);
    work(0);
    return pthread_join(thread, 0);
}
E2
read -ra cc <<<"${CC:-cc}"
run "${cc[@]}" -fsanitize=thread -g -o race race.c
check 'a program with a race builds' ends 0
run ./race
check 'and the race is seen' ends 66 'data race'

run "$tests/test_loader"
check 'the loader' ends 0 'PASSED .* test'
run "$tests/test_prefetch"
check 'its thread' ends 0 'PASSED .* test'
run "$tests/test_thread_pool"
check 'the threads that decode' ends 0 'PASSED .* test'
run "$mpirun" -n 3 "$tests/mpi_messaging" --thread --rounds 3
check 'messages with a progress thread, one host' ends 0 '11 passed, 0 failed'
run env NBSGD_HOSTS=3 "$mpirun" -n 3 "$tests/mpi_messaging" --thread --rounds 3
check 'messages with a progress thread, three hosts' ends 0 '11 passed, 0 failed'

small=(--network resnet20 --dataset synthetic --train-samples 64 --batch 8 --minibatches 2
    --updates 6 --eval-samples 8 --eval-batches 1 --threads 1 --backend ref --progress thread)
for scheme in nbssgd asgd allreduce; do
    run env NBSGD_HOSTS=3 "$mpirun" -n 3 "$nbsgd" --scheme $scheme "${small[@]}" --results $scheme
    check "$scheme with prefetch and a progress thread, three hosts" ends 0 'results: '
done
run "$mpirun" -n 3 "$nbsgd" --scheme nbssgd "${small[@]}" --results one
check 'nbssgd with both on one host' ends 0 'results: '
finish
