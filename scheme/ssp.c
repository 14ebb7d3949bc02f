/* Stale synchronous parallel: a worker may be at most s batches ahead of the slowest; one that is
 * further ahead waits at the server when it reads.
 *
 *   worker  at clock c its weights must hold all updates of clocks <= c - s - 1, else it reads, and
 *           waits for that; it pushes g(w_i), moves w_i by it (it reads its own writes), c <- c + 1
 *   server  w <- w - lr (1 / W B) g_i at each push; replies to a reader at clock c when the slowest
 *           worker has finished c - s batches
 *
 * Each push counts for 1 / W. With --ssp-staleness 0 all read at every clock, and w moves by the
 * mean gradient between two reads: the scheme is ssgd (plain SGD; with momentum W small steps are
 * not one). Cost: n floats per batch, and n per read: every batch at s = 0, else as seldom as s
 * allows. Ho et al. NIPS 2013, section 3; Bosen's consistency controller. */
#include "base/alloc.h"
#include "parameter_server/parameter_server.h"
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
    float *spare = net_alloc(n->net, (size_t)n->count * sizeof *spare), *sum;
    ps_pull(ps, n->w);
    for (bool training = ps_wait(ps); training;) {
        ps_batch(ps);
        n->clock++;
        sum = n->sum;
        if (n->min_clock >= n->clock - slack) {
            const float *const both[] = {n->w, sum};
            ps_push_async(ps, sum);
            node_sum(n, n->w, both, (double[]){1, -n->lr / ((double)s->workers * s->minibatches)},
                     2, n->count);
            node_weights_changed(n);
        } else {
            ps_push(ps, sum);
            ps_pull(ps, n->w);
            training = ps_wait(ps);
        }
        n->sum = spare; /* the server may still read the other */
        spare = sum;
    }
    ps_flush(ps);
    net_free(n->net, spare);
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
            scale[worker] = 1.0 / ((double)workers * n->context->minibatches);
            ps_step(ps, scale);
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
    .flags = REPLAYS | PUSHES | COMPRESSES,
    .messages = "a push, at most a pull",
    .floats = "n to 2 n",
    .staleness = "at most s batches",
    .options = &option_set,
    .state = (const char *const[]){"worker.weights", "worker.clock", "server.clock", NULL},
    .work = work,
    .serve = serve,
};
