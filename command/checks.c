/* Mistakes are found here, before a folder of results is touched. Ranges of single options are in
 * their rows, what a scheme refuses in its file. */
#include "command/checks.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "command/checkpoints.h"
#include "command/effects.h"
#include "messaging/messaging.h"
#include "problem/problem.h"
#include "serialization/serialization.h"
#include "slowness/slowness.h"

void check_values(const struct options *o)
{
    if (o->batch % o->minibatches)
        fatal("--batch %lld is not divided by --minibatches %lld: take a batch that is a multiple "
              "of it",
              (long long)o->batch, (long long)o->minibatches);
    if (o->samples == 0 && o->epochs <= 0)
        fatal("--epochs 0 and no --samples: nothing to do");
    if (!o->norm_samples && !o->eval_batches && (!*o->init || o->lr > 0))
        fatal(
            "--norm-samples 0 judges a file's weights by its own statistics: name it (--init FILE "
            "--lr 0), or take 1 or more");
    if (*o->record && *o->replay)
        fatal("--record and --replay in one run: the record would only be a copy; leave one out");
}

/* Under a launcher the ranks are given. */
static void check_launched(const struct options *o, const struct scheme *scheme, int started)
{
    if (scheme->flags & ALONE)
        fatal("%s runs in one process, this is one of %d ranks: ./nbsgd --scheme %s --workers %d "
              "...",
              o->scheme, started, o->scheme, started - 1);
    if (started <= o->servers)
        fatal("--servers %lld leaves no worker among %d ranks: start more, mpirun -n %lld ...",
              (long long)o->servers, started, (long long)o->servers + 1);
    if (options_named(o, "workers") && o->workers != started - o->servers)
        fatal("--workers %lld: under a launcher all ranks that are not servers are workers, here "
              "%lld of %d; leave it out, or start mpirun -n %lld ...",
              (long long)o->workers, (long long)(started - o->servers), started,
              (long long)(o->workers + o->servers));
}

/* Do world, launcher, scheme and servers go together? */
static void check_ranks(const struct options *o, const struct scheme *scheme, int started)
{
    bool simulated = world_find(o->world)->virtual_time;
    if (simulated && started > 1)
        fatal("--world sim: one process simulates all ranks, here %d would do the same; start "
              "./nbsgd without a launcher",
              started);
    if (simulated)
        return;
    if (started > 1)
        check_launched(o, scheme, started);
    else if (!(scheme->flags & ALONE) && !o->check_options)
        fatal("%s needs a server and at least one worker, this is one rank: mpirun -n 5 ./nbsgd "
              "..., or --world sim",
              o->scheme);
}

/* What the machine file says instead. */
static void refuse_replaced(const struct options *o)
{
    const struct sim_options *sim = options_of(o, world_sim.options);
    static const char *const replaced[] = {"sim-latency", "sim-bandwidth", "sim-minibatch"};
    for (size_t i = 0; i < sizeof replaced / sizeof *replaced; i++)
        if (*sim->machine && options_given(o, replaced[i]))
            fatal("--%s: --machine %s says that: leave one", replaced[i], sim->machine);
}

/* Outside of a launcher nobody knows how many ranks there will be: --check-options takes any. */
static void check_slowness(const struct options *o, const struct scheme *scheme, int started)
{
    bool known = started > 1 || scheme->flags & ALONE || world_find(o->world)->virtual_time;
    int ranks = !known                  ? INT_MAX
                : started > 1           ? started
                : scheme->flags & ALONE ? 1
                                        : (int)(o->servers + o->workers);
    const struct delay delay = delay_parse(o->delay, ranks);
    const struct slowness slowness = slowness_parse(o->slow, ranks);
    departures_parse(o->depart, ranks);
    if (world_find(o->world)->virtual_time) {
        const struct sim_options *sim = options_of(o, world_sim.options);
        link_slowness_parse(sim->link_delay, sim->link_burst, ranks);
        faults_free(faults_load(sim->faults,
                                &(struct fault_world){.ranks = ranks, .servers = (int)o->servers}));
        refuse_replaced(o);
        run_context_check_machine(o, ranks);
    }
    if (known && ranks > 1)
        slowness_check_servers(&delay, &slowness, (int)o->servers, ranks);
}

void check_run(const struct options *o, const struct scheme *scheme, int started)
{
    problem_check(o);
    options_refuse_unused(o);
    check_effects(o, scheme);
    codec_find(o->compress);
    run_context_check(o);
    checkpoints_check(o);
    check_ranks(o, scheme, started);
    check_slowness(o, scheme, started);
    scheme_check(scheme, o, started > 1 ? started - (int)o->servers : (int)o->workers);
}
