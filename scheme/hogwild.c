/* Hogwild: all workers read and write the same weights, without any lock.
 *
 *   w <- w - (lr / B) sum over B mini-batches of g(w),   whatever others write at the same time
 *
 * Workers of rank 0's host compute on its memory and step with plain loads and stores: reads are
 * torn, and of two writes at once one is lost. On other hosts the weights are fetched one-sided
 * before a batch, and the step is added to them element by element. Every step raises PROBES floats
 * behind the weights by 1, too: what they miss was lost. Cost of an update: no vector on one host,
 * two headers. Staleness about W - 1, unbounded. At the end up to W - 1 steps under way go in,
 * counted as dropped. Each worker has its own --momentum. The paper's gradients are sparse, of one
 * sample; it adds each float atomically. Niu, Recht, Re, Wright NIPS 2011, arXiv:1106.5730. */
#include <string.h>

#include "base/check.h"
#include "base/squares.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

enum { PROBES = 16 };

struct worker {
    struct node *n;
    struct rma_window *window;
    float *shared; /* the weights and the probes themselves; NULL on another host */
    float *before; /* on another host: the weights as they were fetched, then the step */
    struct optimizer *part[PROBES]; /* each steps on its part, then raises its probe */
    double norm;                    /* of the gradient, for --clip */
};

static void check(const struct options *o, int workers)
{
    (void)workers;
    if (o->servers > 1)
        fatal("--servers %lld: hogwild's weights lie with rank 0 alone; leave it out",
              (long long)o->servers);
    if (optimizer_is_layerwise(o->optimizer))
        fatal("--optimizer %s: hogwild steps on parts of layers; take another", o->optimizer);
}

static size_t shared_floats(const struct node *n)
{
    return (size_t)n->count + PROBES;
}

static struct range part_of(const struct node *n, int i)
{
    return (struct range){n->count * i / PROBES, n->count * (i + 1) / PROBES};
}

static double whole_norm(void *self, const struct squares *part)
{
    (void)part;
    return ((const struct worker *)self)->norm;
}

static void step(struct worker *k)
{
    struct node *n = k->n;
    const double scale = 1.0 / n->context->minibatches;
    volatile float *probe = n->w + n->count;
    if (optimizer_clips(k->part[0])) {
        struct squares squares = {.bad = 0};
        double began_s = node_clock(n);
        squares_add(&squares, n->sum, n->count, n->context->threads);
        node_count_work(n, began_s, (struct vector_work){n->count, {[PASS_SUM] = 1}});
        k->norm = node_number(n, scale * squares_norm(&squares));
    }
    for (int i = 0; i < PROBES; i++) {
        struct range r = part_of(n, i);
        const float *sum = n->sum + r.from;
        probe[i] = probe[i] + 1;
        /* simulated, others may read and write between two parts */
        node_step_sum(n, k->part[i], n->w + r.from, &sum, &scale, 1, n->lr);
    }
}

static void fetch(struct worker *k)
{
    struct node *n = k->n;
    net_window_get(k->window, n->w, 0, shared_floats(n) * sizeof *n->w);
    node_copy(n, k->before, n->w, (int64_t)shared_floats(n));
}

static void add(struct worker *k)
{
    struct node *n = k->n;
    int64_t floats = (int64_t)shared_floats(n);
    node_sum(n, k->before, (const float *const[]){n->w, k->before}, (double[]){1, -1}, 2, floats);
    net_window_add(k->window, k->before, 0, floats);
}

static void work(struct node *n)
{
    size_t bytes = shared_floats(n) * sizeof(float);
    struct ps_client *ps = ps_client_open(n);
    ps_pull(ps, n->w);
    bool training = ps_wait(ps);       /* rank 0 has begun; from now on it waits for no one */
    node_account(n, ACCOUNT_TRANSFER); /* what goes to no other account is the window's */
    struct worker k = {.n = n, .window = net_window_open(n->net, 0, NULL, bytes)};
    float *own = n->w, *copy = NULL;
    k.shared = net_window_data(k.window);
    if (!k.shared) {
        copy = net_alloc(n->net, bytes);
        k.before = net_alloc(n->net, bytes);
    }
    n->w = k.shared ? k.shared : copy;
    if (k.shared)
        node_share_weights(n);
    for (int i = 0; i < PROBES; i++) {
        k.part[i] = node_optimizer(n, part_of(n, i));
        optimizer_on_norm(k.part[i], whole_norm, &k);
        node_keep_optimizer(n, k.part[i], "worker.optimizer/%d", i);
    }
    for (; training; training = ps_wait(ps)) {
        if (!k.shared)
            fetch(&k);
        node_clear(n);
        while (n->finished < n->context->minibatches) {
            node_weights_changed(n); /* others have written to them */
            node_minibatch(n);
        }
        step(&k);
        if (!k.shared)
            add(&k);
        ps_report(ps, NULL);
        ps_pull(ps, n->w);
    }
    n->w = own;
    for (int i = 0; i < PROBES; i++)
        optimizer_close(k.part[i]);
    net_free(n->net, copy);
    net_free(n->net, k.before);
    ps_client_close(ps);
    net_window_close(k.window);
}

/* Says what part of the updates the probes have missed; `before`: those before it was resumed. */
static void report_lost(const struct node *n, const float *probe, int64_t before)
{
    int64_t steps = n->version + n->counters.dropped_minibatches / n->context->minibatches - before;
    double raised = 0;
    for (int i = 0; i < PROBES; i++)
        raised += probe[i];
    results_event(n->context->results, "lost", node_clock(n),
                  JSON_FIELDS(JSON_INT("updates", steps),
                              JSON_REAL("lost", (double)steps - raised / PROBES)));
}

struct watched {
    struct node *n;
    const float *shared;
};

/* An evaluation looks at a copy: some worker may still be writing when it begins. */
static void copy_weights(void *self)
{
    const struct watched *k = self;
    memcpy(k->n->w, k->shared, (size_t)k->n->count * sizeof *k->shared);
    node_weights_changed(k->n);
}

static void serve(struct node *n)
{
    float *shared = net_alloc(n->net, shared_floats(n) * sizeof *shared);
    struct watched k = {n, shared};
    struct ps_server *ps = ps_server_open(n);
    const int64_t before = n->version + n->counters.dropped_minibatches / n->context->minibatches;
    memcpy(shared, n->w, (size_t)n->count * sizeof *shared);
    for (int i = 0; i < n->context->workers; i++)
        ps_reply_unchanged(ps, i);
    struct rma_window *window =
        net_window_open(n->net, 0, shared, shared_floats(n) * sizeof *shared);
    n->races = true;
    node_before_evaluation(n, copy_weights, &k);
    ps_monitor(ps, false);
    ps_server_close(ps);
    net_window_close(window);
    report_lost(n, shared + n->count, before);
    node_before_evaluation(n, NULL, NULL);
    copy_weights(&k);
    net_free(n->net, shared);
}

const struct scheme scheme_hogwild = {
    .name = "hogwild",
    .rule = "all write the same weights without any lock",
    .paper = "Niu et al. 2011, arXiv:1106.5730",
    .deviations =
        "gradients are dense and of mini-batches, where the paper's are sparse and of one sample; "
        "on one host a step is plain loads and stores, so of two at once one may be lost, where "
        "the paper adds each float atomically; momentum, if any, is each worker's own",
    .flags = SURVIVES,
    .messages = "none: loads and stores",
    .floats = "0 on one host",
    .staleness = "about W - 1, unbounded",
    .check = check,
    .state = (const char *const[]){"worker.optimizer", NULL},
    .work = work,
    .serve = serve,
};
