/* Stale synchronous parallel: a worker may be at most s batches ahead of the slowest; one that is
 * further ahead waits at the server when it reads.
 *
 *   worker  at clock c its weights must hold all updates of clocks <= c - s - 1, else it reads, and
 *           waits for that; u = (1 / W) x its optimizer's step by (1 / B) sum of g(w_i);
 *           w_i <- w_i + u (it reads its own writes), pushes u, c <- c + 1
 *   server  w <- w + u at each push; replies to a reader at clock c when the slowest worker has
 *           finished c - s batches
 *
 * Both move by the same u (unless --compress changes what the server gets), so state of an
 * optimizer, as momentum, is each worker's own. With --ssp-staleness 0 all read at every clock, and
 * w moves by the mean of their steps between two reads: under sgd and nesterov, which are linear in
 * the gradient, the scheme is ssgd. Cost: n floats per batch, and n per read: every batch at s = 0,
 * else as seldom as s allows. Ho et al. NIPS 2013, section 3; Bosen's consistency controller.
 * Deviations: the paper's steps count in full, not for 1 / W; its weights are read row by row, here
 * all at once; of several servers each keeps the bound for its slice. A worker that is lost is not
 * waited for; when it reads again it goes on at the clock of the slowest. So its pushes until then
 * may be staler than s. */
#include "base/alloc.h"
#include "parameter_server/parameter_server.h"
#include "scheme/own_step.h"
#include "scheme/scheme.h"

struct ssp_options {
    int64_t ssp_staleness; /* batches */
};

#define AT(field) offsetof(struct ssp_options, field)

static const struct option_row rows[] = {
    {.name = "ssp-staleness",
     .type = OPTION_INT,
     .offset = AT(ssp_staleness),
     .preset = "3",
     .placeholder = "S",
     .help = "how many batches the fastest worker may be ahead of the slowest",
     .old = "slack"},
    {0}};

static const struct option_set option_set = {.title = "Scheme ssp",
                                             .owner = "--scheme ssp",
                                             .rows = rows,
                                             .size = sizeof(struct ssp_options)};

static int64_t slowest(const int64_t *clock, int workers)
{
    int64_t least = clock[0];
    for (int i = 1; i < workers; i++)
        least = clock[i] < least ? clock[i] : least;
    return least;
}

/* Of a run that is resumed: who was absent then, or had not begun, is there, where the slowest
 * is. */
static void bring_back(int64_t *clock, int before, int workers)
{
    for (int i = before; i < workers; i++)
        clock[i] = INT64_MAX;
    int64_t least = slowest(clock, workers);
    for (int i = 0; i < workers; i++)
        clock[i] = clock[i] < INT64_MAX ? clock[i] : least;
}

/* Of a run that is resumed: as many batches as the server had of it. */
static void go_on(struct node *n)
{
    int workers = n->context->workers,
        before = node_workers_before(n) ? node_workers_before(n) : workers;
    int64_t *clock = xcalloc((size_t)(before > workers ? before : workers), sizeof *clock);
    if (node_kept(n, 0, "server.clock", STATE_I64, clock, before)) {
        bring_back(clock, before, workers);
        n->clock = clock[n->worker];
    }
    xfree(clock);
}

static void work(struct node *n)
{
    const struct run_context *s = n->context;
    const struct ssp_options *o = options_of(s->options, &option_set);
    int64_t slack = o->ssp_staleness;
    struct ps_client *ps = ps_client_open(n);
    struct own_step own = own_step_open(n);
    float *update = net_alloc(n->net, (size_t)n->count * sizeof *update);
    go_on(n);
    ps_pull(ps, n->w);
    for (bool training = ps_wait(ps); training;) {
        node_batch(n);
        if (n->stop)
            break;
        n->clock++;
        ps_flush(ps); /* the server has read the update before */
        own_step_move(&own, n, 1.0 / s->workers, update, false);
        if (n->min_clock >= n->clock - slack) {
            ps_push_async(ps, update);
        } else {
            ps_push(ps, update);
            ps_pull(ps, n->w);
            training = ps_wait(ps);
            n->clock = n->clock > n->min_clock ? n->clock : n->min_clock; /* it was absent */
        }
    }
    if (n->finished < s->minibatches)
        node_discard(n); /* the end has come in the middle of a batch */
    ps_flush(ps);
    net_free(n->net, update);
    own_step_close(&own, n);
    ps_client_close(ps);
}

/* The greater one; nobody's clock is INT64_MAX. */
static int64_t later_than(int64_t own, int64_t slowest_other)
{
    return slowest_other < INT64_MAX && slowest_other > own ? slowest_other : own;
}

static void serve(struct node *n)
{
    int workers = n->context->workers;
    const struct ssp_options *o = options_of(n->context->options, &option_set);
    int64_t slack = o->ssp_staleness;
    struct ps_server *ps = ps_server_open(n);
    double *scale = xcalloc((size_t)workers, sizeof *scale);
    /* batches that each worker has finished */
    int64_t *clock = xcalloc((size_t)workers, sizeof *clock);
    bool *reads = xcalloc((size_t)workers, sizeof *reads);
    bool *away = xcalloc((size_t)workers, sizeof *away); /* absent; until it reads again */
    n->races = true;
    ps_go_on_without(ps);
    ps_announce_end(ps);
    node_keep_by_worker(n, "server.clock", STATE_I64, clock, 1);
    bring_back(clock, node_workers_before(n) ? node_workers_before(n) : workers, workers);
    n->clock = slowest(clock, workers);
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));) {
        int worker = a->worker;
        if (a->absent && reads[worker])
            ps_reply(ps, worker); /* else it would wait to the end, and never come back */
        if (a->departed)
            clock[worker] = INT64_MAX; /* nobody waits for it any more */
        else if (!away[worker])
            clock[worker] = a->clock;
        else if (a->asks) /* it goes on where the slowest is */
            clock[worker] = later_than(a->clock, slowest(clock, workers));
        away[worker] = a->absent || (away[worker] && !a->asks);
        reads[worker] = a->asks;
        if (!a->departed) {
            scale[worker] = 1;
            ps_add(ps, scale);
            scale[worker] = 0;
        }
        n->clock = slowest(clock, workers);
        for (int i = 0; i < workers; i++)
            if (reads[i] && n->clock >= clock[i] - slack) {
                reads[i] = false;
                ps_reply(ps, i);
            }
    }
    ps_server_close(ps);
    xfree(scale);
    xfree(clock);
    xfree(reads);
    xfree(away);
}

const struct scheme scheme_ssp = {
    .name = "ssp",
    .rule = "every push an update; nobody is more than s batches ahead of the slowest",
    .paper = "Ho et al. 2013",
    .deviations =
        "a step counts for 1 / W, the paper's in full; all weights are read at once, and the "
        "newest, where the paper has rows; of several servers each keeps the bound for its slice",
    .flags = REPLAYS | PUSHES | COMPRESSES | SURVIVES,
    .messages = "a push, at most a pull",
    .floats = "n to 2 n",
    .staleness = "at most s batches",
    .options = &option_set,
    .state = (const char *const[]){"worker.optimizer", "server.clock", NULL},
    .work = work,
    .serve = serve,
};
