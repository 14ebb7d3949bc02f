#include "tests/scheme_harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "command/command.h"
#include "scheme/scheme.h"
#include "tests/plain_problem.h"

enum { PIECE = 1000 }; /* its vectors are small, so are their pieces */

static bool gradient(struct problem *p, struct stream *s, int64_t index, struct weights w, float *g,
                     struct loss *loss, network_hook *hook, void *self)
{
    struct ledger *l = p->self;
    CHECK(l->entries < MAX_ENTRIES, "the ledger is full");
    l->entry[l->entries++] = (struct entry){s->worker, index, llroundf(w.w[0])};
    memset(g, 0, (size_t)p->count * sizeof *g);
    g[0] = g[p->count - 1] = -1;
    g[1 + s->worker] = g[p->count - 2 - s->worker] = -1;
    *loss = (struct loss){.sum = p->minibatch};
    return !hook || hook(self, p->steps - 1, 0);
}

static void evaluate(struct problem *p, struct weights w, const float *unused, int shard,
                     int shards, struct loss *loss, void (*progress)(void *), void *self)
{
    (void)p, (void)unused, (void)progress, (void)self, (void)shards;
    if (shard == 0)
        loss->sum += w.w[0];
}

static const struct problem_kind ledger_kind = {
    .initialise = plain_initialise,
    .stream_open = plain_stream_open,
    .stream_close = plain_stream_close,
    .stream_wait_s = plain_stream_wait_s,
    .gradient = gradient,
    .step_share = plain_step_share,
    .final_from = plain_final_from,
    .statistics = plain_statistics,
    .evaluate = evaluate,
    .finish_statistics = plain_finish_statistics,
};

void ledger_problem(struct problem *p, struct ledger *l, int minibatch)
{
    *p = (struct problem){.kind = &ledger_kind,
                          .count = LEDGER_FLOATS,
                          .training_samples = 10000,
                          .test_samples = 1,
                          .minibatch = minibatch,
                          .steps = PLAIN_STEPS,
                          .self = l};
    *l = (struct ledger){.entry = xcalloc(MAX_ENTRIES, sizeof *l->entry)};
}

void experiment_defaults(struct experiment *e, const char *const *words)
{
    char *argv[MAX_WORDS + 1] = {"test"};
    int count = 0;
    memset(e, 0, sizeof *e);
    for (; words[count]; count++) {
        CHECK(count < MAX_WORDS, "more than %d words", MAX_WORDS);
        snprintf(e->text[count], MAX_WORD, "--%s", words[count]);
        argv[1 + count] = e->text[count];
    }
    struct option_sets sets = option_sets();
    options_parse(&e->options, sets.list, 1 + count, argv, NULL);
    option_sets_use(&e->options);
    e->servers = (int)e->options.servers;
    e->workers = (int)e->options.workers;
}

static void take_outcome(struct experiment *e, struct node *n)
{
    struct outcome *out = &e->out;
    if (n->net->ranks == 1)
        node_end_accounts(n, 0); /* as node_close() does */
    if (n->worker < 0 || n->net->ranks == 1) {
        struct range s = n->net->ranks == 1 ? (struct range){0, n->count} : node_slice(n, n->rank);
        memcpy(out->w + s.from, n->w + s.from, (size_t)(s.to - s.from) * sizeof *out->w);
        out->versions[n->rank] = n->version;
    } else {
        out->worker[n->worker] = n->counters;
    }
    if (n->rank == 0) {
        out->server = n->counters;
        out->updates = n->version;
        out->samples = n->samples;
        out->status = n->status;
        out->seconds = node_clock(n);
    }
}

struct shared {
    struct experiment *e;
    struct run_context context;
    const struct scheme *scheme;
};

static void run_rank(struct net *net, void *argument)
{
    struct shared *s = argument;
    struct node *n = node_open(net, &s->context);
    if (s->e->opened)
        s->e->opened(s->e->opened_self, n);
    (n->worker >= 0 ? s->scheme->work : s->scheme->serve)(n);
    take_outcome(s->e, n);
    node_close(n);
}

static void open_ledger(struct experiment *e, int minibatch)
{
    e->ledger = xcalloc(1, sizeof *e->ledger);
    e->problem = xcalloc(1, sizeof *e->problem);
    ledger_problem(e->problem, e->ledger, minibatch);
}

static void close_ledger(struct experiment *e)
{
    xfree(e->problem->no_decay);
    xfree(e->problem);
    e->problem = NULL;
}

void experiment_run(struct experiment *e)
{
    volatile sig_atomic_t stop_requested = e->stop_requested;
    const struct options *o = &e->options;
    const struct sim_options *sim = options_of(o, world_sim.options);
    int minibatch = (int)(o->batch / o->minibatches);
    bool alone = scheme_find(o->scheme)->flags & ALONE, own = !e->problem;
    int ranks = alone ? 1 : e->servers + e->workers;
    if (own)
        open_ledger(e, minibatch);
    struct shared s = {.e = e, .scheme = e->scheme ? e->scheme : scheme_find(o->scheme)};
    s.context = (struct run_context){
        .options = o,
        .problem = e->problem,
        .delay = delay_parse(o->delay, ranks),
        .link = link_slowness_parse(sim->link_delay, sim->link_burst, ranks),
        .slowness = slowness_parse(o->slow, ranks),
        .departures = departures_parse(o->depart, ranks),
        .workers = e->workers,
        .servers = alone ? 1 : e->servers,
        .schedule = {.shape = o->schedule, .lr = o->lr, .warmup = o->warmup},
        .minibatches = (int)o->minibatches,
        .minibatch = minibatch,
        .samples_wanted = o->samples,
        .evaluate_every = o->eval_every ? o->eval_every : o->samples,
        .threads = 1,
        .device_optimizer =
            e->device_optimizer ? e->device_optimizer : backend_device_optimizer(o->server_device),
        .machine = e->machine,
        .jitter = e->jitter,
        .minibatch_s = sim->sim_minibatch,
        .delay_block_s = strcmp(o->delay_key, "clock") ? 0
                         : o->delay_block > 0          ? o->delay_block
                                                       : sim->sim_minibatch,
        .results = e->results,
        .faults = e->faults,
        .nodes = e->together ? NULL : xcalloc((size_t)ranks, sizeof(struct node *)),
        .course = e->course,
        .stop_requested = &stop_requested};
    run_context_share_cores(&s.context, ranks);
    e->out.count = e->problem->count;
    e->out.w = xcalloc((size_t)e->out.count, sizeof(float));
    e->out.versions = xcalloc((size_t)e->servers, sizeof *e->out.versions);
    e->out.worker = xcalloc((size_t)e->workers, sizeof(struct counters));
    sim_run(&(struct world_options){.ranks = ranks,
                                    .seed = (uint64_t)o->seed,
                                    .latency_s = sim->sim_latency,
                                    .bandwidth = sim->sim_bandwidth,
                                    .piece = PIECE,
                                    .links = e->links,
                                    .journal = e->course ? e->course->journal : NULL},
            run_rank, &s);
    xfree(s.context.computing);
    xfree(s.context.taken_s);
    xfree(s.context.nodes);
    if (own)
        close_ledger(e);
}

void experiment_close(struct experiment *e)
{
    options_close(&e->options);
    if (e->ledger)
        xfree(e->ledger->entry);
    xfree(e->ledger);
    xfree(e->out.w);
    xfree(e->out.versions);
    xfree(e->out.worker);
}
