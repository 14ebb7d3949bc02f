/* Local SGD: each worker makes H steps of its own, then the server takes the mean of their weights.
 *
 *   w_i <- optimizer(w_i, g(w_i)), H times;   w <- w + (1 / W) sum_i (w_i - w)
 *
 * A step is a mini-batch. The workers' optimizers keep their momentum, which is not averaged. The
 * difference w_i - w is pushed, so that every codec carries it. With --post-local P, H = 1 for the
 * first part P of the run; Lin et al. switch when the rate first falls. With H = 1 and plain SGD
 * the scheme is ssgd with one mini-batch per batch. The newest w is evaluated, where Stich judges a
 * weighted mean of all iterates. Cost: n floats up and n down every H mini-batches. Stich ICLR
 * 2019, arXiv:1805.09767; post-local: Lin, Stich, Patel, Jaggi ICLR 2020, arXiv:1808.07217. */
#include "scheme/localsgd.h"

#include "base/alloc.h"

struct localsgd_options {
    int64_t local_steps; /* mini-batches */
    double post_local;   /* part of the run */
};

#define AT(field) offsetof(struct localsgd_options, field)

static const struct option_row rows[] = {
    LOCAL_STEPS(AT(local_steps)),
    {.name = "post-local",
     .type = OPTION_REAL,
     .offset = AT(post_local),
     .preset = "0",
     .placeholder = "PART",
     .help = "part of the run with an exchange after every mini-batch",
     .most = 1},
    {0}};

static const struct option_set option_set = {.title = "Scheme localsgd",
                                             .owner = "--scheme localsgd",
                                             .rows = rows,
                                             .size = sizeof(struct localsgd_options)};

struct local_worker localsgd_open(struct node *n)
{
    struct local_worker k = {.n = n,
                             .ps = ps_client_open(n),
                             .optimizer = node_optimizer(n, (struct range){0, n->count}),
                             .start = net_alloc(n->net, (size_t)n->count * sizeof(float))};
    node_keep_optimizer(n, k.optimizer, "worker.optimizer");
    ps_pull(k.ps, k.start);
    return k;
}

void localsgd_close(struct local_worker *k)
{
    optimizer_close(k->optimizer);
    net_free(k->n->net, k->start);
    ps_client_close(k->ps);
}

void localsgd_move(struct local_worker *k, int64_t steps)
{
    struct node *n = k->n;
    node_copy(n, n->w, k->start, n->count);
    node_weights_changed(n);
    node_clear(n);
    while (n->finished < steps)
        node_local_step(n, k->optimizer, n->lr);
}

void localsgd_push(struct local_worker *k)
{
    struct node *n = k->n;
    node_sum(n, n->sum, (const float *const[]){n->w, k->start}, (double[]){1, -1}, 2, n->count);
    ps_push(k->ps, n->sum);
    ps_pull(k->ps, k->start);
}

void localsgd_work(struct node *n, int64_t local_steps, double post_local)
{
    struct local_worker k = localsgd_open(n);
    while (ps_wait(k.ps)) {
        localsgd_move(&k, node_done(n) < post_local ? 1 : local_steps);
        localsgd_push(&k);
    }
    localsgd_close(&k);
}

static void work(struct node *n)
{
    const struct localsgd_options *o = options_of(n->context->options, &option_set);
    localsgd_work(n, o->local_steps, o->post_local);
}

static void serve(struct node *n)
{
    int workers = n->context->workers;
    struct ps_server *ps = ps_server_open(n);
    double *scale = xcalloc((size_t)workers, sizeof *scale);
    ps_reply_all(ps);
    while (ps_collect(ps)) {
        int present = ps_present(ps);
        for (int i = 0; i < workers; i++)
            scale[i] = 1.0 / present;
        ps_add(ps, scale);
        ps_reply_all(ps);
    }
    xfree(scale);
    ps_server_close(ps);
}

const struct scheme scheme_localsgd = {
    .name = "localsgd",
    .rule = "H local steps, then the mean of all weights",
    .paper = "Stich 2019, arXiv:1805.09767",
    .deviations = "momentum is each worker's own, and not averaged; the paper judges a weighted "
                  "mean of all iterates; the switch of --post-local is at a part of the run, where "
                  "Lin et al. switch when the rate first falls",
    .flags = SYNC | BOUNDED | PUSHES | COMPRESSES | LOCKSTEP,
    .messages = "W pushes, W pulls",
    .floats = "2 n every H mini-batches",
    .staleness = "0",
    .options = &option_set,
    .state = (const char *const[]){"worker.optimizer", NULL},
    .work = work,
    .serve = serve,
};
