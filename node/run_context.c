/* From options to what the ranks of one process share. */
#include "node/run_context.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "node/private.h"

static const double most_samples = 1e15; /* sums of a few of them stay exact */

/* The optimizer and the schedule judge their numbers themselves. */
void run_context_check(const struct options *o)
{
    const struct schedule schedule = schedule_of(o);
    schedule_at(&schedule, 0);
    const struct optimizer_options optimizer = optimizer_options_of(o, o->optimizer);
    optimizer_close(optimizer_open(&optimizer, (struct range){0, 1}, NULL, 0));
}

void run_context_share_cores(struct run_context *c, int ranks)
{
    if (!c->machine || !machine_cores(c->machine))
        return;
    size_t hosts = (size_t)machine_host(c->machine, ranks) + 1;
    c->computing = xcalloc(hosts, sizeof *c->computing);
    c->taken_s = xcalloc(hosts, sizeof *c->taken_s);
}

bool run_context_times_alone(const struct options *o)
{
    const struct sim_options *sim =
        world_find(o->world)->virtual_time ? options_of(o, world_sim.options) : NULL;
    return sim && !sim->sim_gradients;
}

static int threads_of(const struct options *o)
{
    return o->threads ? (int)o->threads : 1;
}

static int minibatch_of(const struct options *o)
{
    return (int)(o->batch / o->minibatches);
}

static double timed_minibatch_s(const struct options *o, const struct machine *machine)
{
    char variant[MODEL_VARIANT];
    model_variant(o, variant);
    return machine_minibatch_s(machine, o->network, variant, minibatch_of(o), o->dtype,
                               threads_of(o));
}

/* As a machine file has it: "resnet50 cifar 32 f32 1". */
enum { MACHINE_KEY = MODEL_VARIANT + 100 };

static void machine_key(const struct options *o, char key[MACHINE_KEY])
{
    char variant[MODEL_VARIANT];
    model_variant(o, variant);
    snprintf(key, MACHINE_KEY, "%.40s %s %d %s %d", o->network, variant, minibatch_of(o), o->dtype,
             threads_of(o));
}

void run_context_print_machine_key(const struct options *o, FILE *to)
{
    char key[MACHINE_KEY];
    problem_check(o);
    machine_key(o, key);
    fprintf(to, "%s\n", key);
}

/* A mini-batch that nobody has timed is not guessed. */
static void check_timed(const struct options *o, double minibatch_s)
{
    const struct sim_options *sim = options_of(o, world_sim.options);
    char key[MACHINE_KEY];
    if (!isnan(minibatch_s))
        return;
    machine_key(o, key);
    fatal("--machine %s has no time of a mini-batch of this run: [minibatch_s] wants a line "
          "'%s = SECONDS'",
          sim->machine, key);
}

void run_context_check_machine(const struct options *o, int ranks)
{
    const struct sim_options *sim = options_of(o, world_sim.options);
    if (!*sim->machine)
        return;
    const struct machine *machine = machine_load(sim->machine);
    machine_links(machine, ranks);
    double minibatch_s = timed_minibatch_s(o, machine);
    machine_close(machine);
    check_timed(o, minibatch_s);
}

/* What --machine says of this run's computing. */
static void take_machine(struct run_context *c, const struct machine *machine, int ranks)
{
    const struct options *o = c->options;
    const struct sim_options *sim = options_of(o, world_sim.options);
    c->machine = machine;
    c->minibatch_s = sim->sim_minibatch;
    if (!machine)
        return;
    char variant[MODEL_VARIANT];
    model_variant(o, variant);
    c->minibatch_s = timed_minibatch_s(o, machine);
    check_timed(o, c->minibatch_s);
    c->jitter = machine_minibatch_jitter(machine, o->network, variant, c->minibatch, o->dtype,
                                         threads_of(o));
    run_context_share_cores(c, ranks);
}

/* Samples per second of each worker to any scale, for --partition speed; alone, a rank is every
 * worker. To be released. */
static double *worker_speeds(const struct run_context *c, int ranks)
{
    double *speeds = xcalloc((size_t)c->workers, sizeof *speeds);
    for (int w = 0; w < c->workers; w++)
        speeds[w] = 1 / slowness_of(&c->slowness, ranks == 1 ? 0 : c->servers + w);
    return speeds;
}

static void open_problem(struct run_context *c, const struct run_context_request *r)
{
    double *speeds = worker_speeds(c, r->ranks);
    struct network_listener listener = {stop_listen, c};
    if (!r->simulated)
        listener = r->listener;
    c->problem = problem_open(
        &(struct problem_options){.options = r->options,
                                  .minibatch = c->minibatch,
                                  .threads = c->threads,
                                  .local_rank = r->local_rank,
                                  .workers = c->workers,
                                  .speeds = speeds,
                                  .serves = r->serves,
                                  .trains = r->trains,
                                  .timing = r->simulated && run_context_times_alone(r->options),
                                  .listener = listener,
                                  .prefetch = r->simulated ? 0 : (int)c->options->prefetch});
    xfree(speeds);
}

static void take_delays(struct run_context *c, const struct run_context_request *r)
{
    const struct options *o = c->options;
    c->delay = delay_parse(o->delay, r->ranks);
    if (r->simulated) {
        const struct sim_options *sim = options_of(o, world_sim.options);
        c->link = link_slowness_parse(sim->link_delay, sim->link_burst, r->ranks);
        c->faults = faults_load(sim->faults,
                                &(struct fault_world){r->ranks, c->servers, (uint64_t)o->seed});
        c->disk = c->faults ? disk_open(c->faults->disk, c->faults->disk_count) : NULL;
    }
    if (strcmp(o->delay_key, "clock") != 0)
        return;
    c->delay_block_s = o->delay_block > 0 || !r->simulated ? o->delay_block : c->minibatch_s;
    if (c->delay_block_s < DELAY_SHORTEST_BLOCK_S)
        fatal("--delay-key clock: for how long is a machine there between two delays? Take "
              "--delay-block %g or more",
              DELAY_SHORTEST_BLOCK_S);
}

struct limits run_context_limits(const struct options *o, int64_t training_samples)
{
    struct limits l = {.seconds = o->seconds, .updates = o->updates};
    double wanted = o->samples ? (double)o->samples : o->epochs * (double)training_samples;
    if (wanted > most_samples)
        fatal("--epochs %g: that is %g samples; take at most %g", o->epochs, wanted, most_samples);
    l.samples = wanted > 1 ? (int64_t)ceil(wanted) : 1;
    l.evaluate_every = o->eval_every         ? o->eval_every
                       : o->eval_seconds > 0 ? (int64_t)most_samples
                                             : l.samples / 16 + 1;
    return l;
}

static void set_limits(struct run_context *c)
{
    const struct limits l = run_context_limits(c->options, c->problem->training_samples);
    c->samples_wanted = l.samples;
    c->evaluate_every = l.evaluate_every;
}

void run_context_open(struct run_context *c, const struct run_context_request *r)
{
    const struct options *o = r->options;
    *c = (struct run_context){.options = o,
                              .schedule = schedule_of(o),
                              .servers = r->ranks == 1 ? 1 : (int)o->servers,
                              .minibatches = (int)o->minibatches,
                              .minibatch = minibatch_of(o),
                              .threads = o->threads ? (int)o->threads : r->cores,
                              .device_optimizer =
                                  r->serves ? backend_device_optimizer(o->server_device) : NULL,
                              .slowness = slowness_parse(o->slow, r->ranks),
                              .departures = departures_parse(o->depart, r->ranks),
                              .stop_requested = r->stop_requested};
    c->workers = r->ranks == 1 ? (int)o->workers : r->ranks - c->servers;
    take_machine(c, r->machine, r->ranks);
    take_delays(c, r);
    if (r->ranks > 1)
        slowness_check_servers(&c->delay, &c->slowness, c->servers, r->ranks);
    if (r->simulated)
        c->nodes = xcalloc((size_t)r->ranks, sizeof(struct node *));
    open_problem(c, r);
    set_limits(c);
}

void run_context_close(struct run_context *c)
{
    xfree(c->nodes);
    problem_close(c->problem);
    if (c->results)
        results_close(c->results);
    disk_close(c->disk);
    faults_free(c->faults);
    xfree(c->computing);
    xfree(c->taken_s);
    xfree(c->data_share);
}
