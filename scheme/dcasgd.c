/* Delay-compensated asynchronous SGD: a stale gradient is corrected by how far the weights have
 * moved since it was computed.
 *
 *   g' = g + lambda_t g . g . (w - w_bak(i)),   w(v+1) = w(v) - lr g'      (. is elementwise)
 *
 * w_bak(i): a copy of the weights that were sent to worker i; g: the mean of its B mini-batches.
 *   --dc constant   lambda_t = lambda
 *   --dc adaptive   lambda_t = lambda / sqrt(MeanSquare + eps), where MeanSquare = m MeanSquare +
 *                   (1 - m) g . g; one for all workers as in the paper (the authors' code has one
 *                   for each)
 * --server-momentum: as in asgd. --clip meets g', not g. Messages as asgd; the server keeps W
 * copies of its slice. Several servers race. At staleness 0 w = w_bak, and the scheme is asgd.
 * Zheng et al. ICML 2017, arXiv:1609.08326, section 4. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "scheme/asynchronous.h"
#include "scheme/scheme.h"

struct dcasgd_options {
    int64_t stale_bound;
    const char *dc, *server_momentum;
    double dc_lambda, dc_decay;
};

#define AT(field) offsetof(struct dcasgd_options, field)

static const struct option_row rows[] = {
    {.name = "stale-bound",
     .type = OPTION_INT,
     .offset = AT(stale_bound),
     .preset = "0",
     .placeholder = "N",
     .help = "drop gradients that are staler than N updates (0: none)"},
    {.name = "dc",
     .type = OPTION_CHOICE,
     .offset = AT(dc),
     .preset = "constant",
     .choices = "constant|adaptive",
     .help =
         "how strongly gradients are compensated: by a constant, or relative to their mean square",
     .old = "compensate"},
    {.name = "dc-lambda",
     .type = OPTION_REAL,
     .offset = AT(dc_lambda),
     .preset = "0.04",
     .placeholder = "LAMBDA",
     .help = "strength of the compensation; 2 is usual with adaptive",
     .old = "compensation"},
    {.name = "dc-decay",
     .type = OPTION_REAL,
     .offset = AT(dc_decay),
     .preset = "0.95",
     .placeholder = "M",
     .help = "--dc adaptive: decay of the mean square of the gradients",
     .old = "compensation-decay",
     .most = 1},
    SERVER_MOMENTUM(AT(server_momentum)),
    {0}};

static const struct option_set option_set = {.title = "Scheme dcasgd",
                                             .owner = "--scheme dcasgd",
                                             .rows = rows,
                                             .size = sizeof(struct dcasgd_options)};

static void check(const struct options *o, int workers)
{
    const struct dcasgd_options *own = options_of(o, &option_set);
    (void)workers;
    if (options_given(o, "dc-decay") && strcmp(own->dc, "adaptive"))
        fatal("--dc-decay: --dc %s keeps no mean square; leave it out, or take --dc adaptive",
              own->dc);
    server_momentum_check(own->server_momentum, o);
}

static const float eps = 1e-7f;

struct compensation {
    float lambda, decay;
    float *mean_square; /* [slice]; NULL: constant */
    float *fixed;       /* [slice]; the corrected gradient */
    float **backup;     /* [workers][slice] */
    int64_t count;      /* of the slice */
};

static void compensate(struct compensation *c, const float *sum, float scale, const float *w,
                       const float *backup, int threads)
{
#pragma omp parallel for simd num_threads(threads)
    for (int64_t i = 0; i < c->count; i++) {
        float g = scale * sum[i], lambda = c->lambda;
        if (c->mean_square) {
            c->mean_square[i] = c->decay * c->mean_square[i] + (1 - c->decay) * g * g;
            lambda /= sqrtf(c->mean_square[i] + eps);
        }
        c->fixed[i] = g + lambda * g * g * (w[i] - backup[i]);
    }
}

static struct compensation compensation_open(struct node *n, struct range slice)
{
    const struct dcasgd_options *o = options_of(n->context->options, &option_set);
    struct compensation c = {
        .lambda = (float)o->dc_lambda, .decay = (float)o->dc_decay, .count = slice.to - slice.from};
    c.fixed = node_vector(n, c.count);
    c.backup = xcalloc((size_t)n->context->workers, sizeof *c.backup);
    for (int i = 0; i < n->context->workers; i++)
        c.backup[i] = node_vector(n, c.count);
    if (!strcmp(o->dc, "adaptive")) {
        c.mean_square = node_vector(n, c.count);
        node_keep(n, "server.mean_square", STATE_F32, c.mean_square, c.count);
    }
    return c;
}

static void compensation_close(struct compensation *c, struct node *n)
{
    for (int i = 0; i < n->context->workers; i++)
        node_vector_free(n, c->backup[i]);
    xfree(c->backup);
    node_vector_free(n, c->fixed);
    node_vector_free(n, c->mean_square);
}

static void work(struct node *n)
{
    ps_work(n);
}

static void serve(struct node *n)
{
    const struct dcasgd_options *o = options_of(n->context->options, &option_set);
    int workers = n->context->workers, threads = n->context->threads;
    struct ps_server *ps = ps_server_open(n);
    struct range slice = ps_slice(ps);
    struct compensation c = compensation_open(n, slice);
    n->races = true;
    ps_go_on_without(ps);
    server_momentum_open(o->server_momentum, ps);
    for (int i = 0; i < workers; i++)
        node_copy(n, c.backup[i], n->w + slice.from, c.count);
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));) {
        int worker = a->worker;
        if (a->departed)
            continue;
        if (o->stale_bound && a->staleness > o->stale_bound) {
            ps_discard(ps, worker);
        } else {
            double began_s = node_clock(n);
            const float *sum = ps_vector(ps, worker);
            if (!node_forwards(n))
                compensate(&c, sum, 1.0f / (float)n->context->minibatches, n->w + slice.from,
                           c.backup[worker], threads);
            node_count_work(n, began_s,
                            (struct vector_work){
                                c.count, {[PASS_SUM] = 4, [PASS_STEP] = c.mean_square ? 2 : 0}});
            ps_replace(ps, worker, c.fixed);
            ps_step_one(ps, worker, 1, node_lr(n));
        }
        node_copy(n, c.backup[worker], n->w + slice.from, c.count);
        ps_reply(ps, worker);
    }
    ps_server_close(ps);
    compensation_close(&c, n);
}

const struct scheme scheme_dcasgd = {
    .name = "dcasgd",
    .rule = "asgd, stale gradients corrected by how far the weights have moved",
    .paper = "Zheng et al. 2017, arXiv:1609.08326",
    .deviations = "several servers race; MeanSquare is one for all workers as in the paper, where "
                  "the authors' code has one for each",
    .flags = REPLAYS | PUSHES | COMPRESSES | SURVIVES,
    .messages = "a push, a pull",
    .floats = "2 n",
    .staleness = "about W - 1, compensated",
    .options = &option_set,
    .check = check,
    .state = (const char *const[]){"server.mean_square", "server.optimizers", NULL},
    .work = work,
    .serve = serve,
};
