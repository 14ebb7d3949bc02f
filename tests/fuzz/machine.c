/* Machine files: what is taken describes links that can be. */
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdbool.h>

#include "slowness/slowness.h"

static bool is_time(double seconds)
{
    return isfinite(seconds) && seconds >= 0;
}

static void check_kind(const struct link_kind *kind, const char *which)
{
    if (!is_time(kind->latency_s) || !is_time(kind->jitter_s) || !is_time(kind->bandwidth))
        fuzz_defect("a link %s of %g s, %g s, %g B/s", which, kind->latency_s, kind->jitter_s,
                    kind->bandwidth);
}

static void check_links(const struct links *l)
{
    check_kind(&l->between, "between hosts");
    check_kind(&l->within, "within a host");
    for (int i = 0; i < l->pair_count; i++)
        check_kind(&l->pair[i].kind, "of a pair");
    for (int i = 0; i < l->rank_count; i++)
        if (!(l->rank[i].bandwidth > 0) || l->rank[i].rank < 0)
            fuzz_defect("rank %d has %g B/s", l->rank[i].rank, l->rank[i].bandwidth);
    if (l->ranks_per_host < 1 || !is_time(l->host_bandwidth))
        fuzz_defect("hosts of %d ranks, %g B/s", l->ranks_per_host, l->host_bandwidth);
}

static void check_rank(const struct machine *m, int rank)
{
    if (!(machine_speed(m, rank) > 0) || !isfinite(machine_speed(m, rank)))
        fuzz_defect("rank %d has speed %g", rank, machine_speed(m, rank));
    if (machine_host(m, rank) < 0 || !is_time(machine_copy_bandwidth(m, rank, rank + 1)))
        fuzz_defect("rank %d is on host %d", rank, machine_host(m, rank));
}

static void load(void *path)
{
    static const int sizes[] = {1, 5, 1000};
    const struct machine *m = machine_load(path);
    double seconds = machine_minibatch_s(m, "resnet20", "cifar", 32, "f32", 1);
    for (int i = 0; i < 3; i++)
        check_rank(m, sizes[i]);
    for (int pass = 0; pass < VECTOR_PASSES; pass++)
        if (!is_time(machine_vector_bandwidth(m, (enum vector_pass)pass, true)))
            fuzz_defect("pass %d has no bandwidth", pass);
    if (!(isnan(seconds) || (isfinite(seconds) && seconds > 0)) ||
        !is_time(machine_minibatch_jitter(m, "resnet20", "cifar", 32, "f32", 1)) ||
        !is_time(machine_host_jitter_share(m)) || machine_cores(m) < 0)
        fuzz_defect("a mini-batch of %g s", seconds);
    for (int i = 0; i < 3; i++)
        check_links(machine_links(m, sizes[i]));
    machine_close(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_try(load, (void *)fuzz_file(bytes, size));
    return 0;
}
