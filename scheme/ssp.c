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
 * all at once; of several servers each keeps the bound for its slice. */
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

static void work(struct node *n)
{
    const struct run_context *s = n->context;
    const struct ssp_options *o = options_of(s->options, &option_set);
    int64_t slack = o->ssp_staleness;
    struct ps_client *ps = ps_client_open(n);
    struct own_step own = own_step_open(n);
    float *update = net_alloc(n->net, (size_t)n->count * sizeof *update);
    ps_pull(ps, n->w);
    for (bool training = ps_wait(ps); training;) {
        node_batch(n);
        n->clock++;
        ps_flush(ps); /* the server has read the update before */
        own_step_move(&own, n, 1.0 / s->workers, update, false);
        if (n->min_clock >= n->clock - slack) {
            ps_push_async(ps, update);
        } else {
            ps_push(ps, update);
            ps_pull(ps, n->w);
            training = ps_wait(ps);
        }
    }
    ps_flush(ps);
    net_free(n->net, update);
    own_step_close(&own);
    ps_client_close(ps);
}

static int64_t slowest(const int64_t *clock, int workers)
{
    int64_t least = clock[0];
    for (int i = 1; i < workers; i++)
        least = clock[i] < least ? clock[i] : least;
    return least;
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
    n->races = true;
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));) {
        int worker = a->worker;
        clock[worker] = a->departed ? INT64_MAX : a->clock; /* nobody waits for it any more */
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
    xfree(scale);
    xfree(clock);
    xfree(reads);
    ps_server_close(ps);
}

const struct scheme scheme_ssp = {
    .name = "ssp",
    .rule = "every push an update; nobody is more than s batches ahead of the slowest",
    .paper = "Ho et al. 2013",
    .deviations =
        "a step counts for 1 / W, the paper's in full; all weights are read at once, and the "
        "newest, where the paper has rows; of several servers each keeps the bound for its slice",
    .flags = REPLAYS | PUSHES | COMPRESSES,
    .messages = "a push, at most a pull",
    .floats = "n to 2 n",
    .staleness = "at most s batches",
    .options = &option_set,
    .state = (const char *const[]){"worker.weights", "worker.optimizer", "worker.clock",
                                   "server.clock", NULL},
    .work = work,
    .serve = serve,
};
