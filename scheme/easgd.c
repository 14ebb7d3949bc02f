/* Elastic averaging SGD: workers explore on their own; every tau mini-batches an elastic force
 * pulls each worker and the centre together.
 *
 *   easgd   x <- w_i;  every tau mini-batches: d = alpha (x - w~);  w_i <- w_i - d;  w~ <- w~ + d
 *           w_i <- w_i - lr g(x)
 *   eamsgd  the same, with Nesterov's momentum: v_i <- mu v_i - lr g(x + mu v_i);  w_i <- w_i + v_i
 *
 * alpha = beta / W (--easgd-beta), tau: --local-steps, mu: --momentum. The gradient is that of the
 * weights before the force, so the centre comes while it is computed, and no worker waits for a
 * fast server. Worker and centre use the same d: the sum of all weights is conserved, unless
 * --compress changes what the centre gets. The centre is evaluated. Cost: n floats down and n up
 * every tau mini-batches. No gradient is stale: they are all local. Zhang, Choromanska, LeCun NIPS
 * 2015, arXiv:1412.6651, algorithms 1 and 2. Deviations: the exchange of the first step is left
 * out, since it moves nothing; weight decay acts where the gradient is taken; of several servers
 * each exchanges its slice in an order of its own; the synchronous form is not here. */
#include "scheme/easgd.h"

#include "base/alloc.h"
#include "parameter_server/parameter_server.h"

struct worker {
    struct node *n;
    struct ps_client *ps;
    struct optimizer *local; /* plain SGD */
    double alpha, momentum;
    float *centre, *d;
    float *x;      /* eamsgd: the weights, where n->w is x + mu v; easgd: NULL, they are n->w */
    int64_t t;     /* mini-batches so far */
    int64_t steps; /* since the last exchange */
    bool asked;    /* for the centre, which has not come */
};

/* The centre has come: both are pulled by d, it at once, the worker when its gradient is done. */
static void exchange(struct worker *k)
{
    struct node *n = k->n;
    const float *x = k->x ? k->x : n->w;
    ps_wait(k->ps);
    k->asked = false;
    if (n->stop)
        return;
    node_sum(n, k->d, (const float *const[]){x, k->centre}, (double[]){k->alpha, -k->alpha}, 2,
             n->count);
    n->finished = k->steps;
    ps_push_async(k->ps, k->d);
    node_clear(n);
    k->steps = 0;
}

static enum node_flow hear(void *self)
{
    struct worker *k = self;
    if (k->asked && ps_pull_ready(k->ps))
        exchange(k);
    return NODE_CONTINUE; /* also at the end: how far a worker gets must not depend on delays */
}

/* to = a + factor x b */
static void add_scaled(struct node *n, float *to, const float *a, double factor, const float *b)
{
    node_sum(n, to, (const float *const[]){a, b}, (double[]){1, factor}, 2, n->count);
}

/* A step by the gradient at n->w, which is x + mu v: so it makes it x + (the next) v. */
static void step(struct worker *k, bool pulled)
{
    struct node *n = k->n;
    node_step(n, k->local, n->w, n->sum, n->lr);
    if (k->x)
        add_scaled(n, k->x, n->w, -1, k->x); /* v */
    if (pulled)
        add_scaled(n, n->w, n->w, -1, k->d);
    if (k->x) {
        float *ahead = k->x;
        add_scaled(n, ahead, n->w, k->momentum, ahead);
        k->x = n->w;
        n->w = ahead;
    }
    node_weights_changed(n);
}

/* False: training is over, or over for this worker. */
static bool advance(struct worker *k, bool exchanges)
{
    struct node *n = k->n;
    if (exchanges) {
        ps_request(k->ps);
        ps_pull(k->ps, k->centre);
        k->asked = true;
    }
    n->finished = 0; /* the sum begins anew */
    node_minibatch(n);
    if (k->asked)
        exchange(k);
    k->steps++;
    if (!n->stop)
        step(k, exchanges);
    return !n->stop && (!exchanges || !node_departs(n));
}

static struct worker open_worker(struct node *n, bool has_momentum)
{
    const struct run_context *s = n->context;
    const struct easgd_options *o = options_of(s->options, &easgd_option_set);
    size_t bytes = (size_t)n->count * sizeof(float);
    return (struct worker){
        .n = n,
        .ps = ps_client_open(n),
        .local = node_local_optimizer(n, "sgd", false),
        .alpha = o->easgd_beta / s->workers,
        .momentum = optimizer_options_of(s->options, "nesterov").momentum,
        .centre = net_alloc(n->net, bytes),
        .d = net_alloc(n->net, bytes),
        .x = has_momentum ? net_alloc(n->net, bytes) : NULL,
    };
}

/* Its weights are its own, not those that it pulls. They hold all that it has computed, whatever
 * the server knows of it. */
static void keep(struct worker *k)
{
    struct node *n = k->n;
    int64_t next;
    node_keep_vector(n, "worker.weights", &n->w, n->count);
    if (k->x)
        node_keep_vector(n, "worker.x", &k->x, n->count);
    node_keep(n, "worker.steps", STATE_I64, &k->steps, 1);
    node_keep(n, "worker.steps/all", STATE_I64, &k->t, 1);
    node_weights_changed(n);
    if (node_workers_before(n)) /* its data are others */
        return;
    if (node_kept(n, n->rank, "node/next", STATE_I64, &next, 1))
        node_set_place(n, next);
}

static void work(struct node *n, bool has_momentum)
{
    const struct easgd_options *o = options_of(n->context->options, &easgd_option_set);
    struct worker k = open_worker(n, has_momentum);
    struct request *const *pull = ps_pending_pull(k.ps);
    ps_pull(k.ps, n->w);
    bool training = ps_wait(k.ps);
    if (k.x)
        node_copy(n, k.x, n->w, n->count);
    keep(&k);
    node_clear(n);
    node_set_interrupt(n, hear, &k, &pull, 1);
    for (; training; k.t++)
        training = advance(&k, k.t > 0 && k.t % o->local_steps == 0);
    node_set_interrupt(n, NULL, NULL, NULL, 0);
    n->finished = k.steps; /* what was not counted by an exchange any more */
    node_discard(n);
    ps_flush(k.ps);
    net_free(n->net, k.centre);
    net_free(n->net, k.d);
    net_free(n->net, k.x);
    optimizer_close(k.local);
    ps_client_close(k.ps);
}

void easgd_serve(struct node *n)
{
    struct ps_server *ps = ps_server_open(n);
    double *scale = xcalloc((size_t)n->context->workers, sizeof *scale);
    n->races = true;
    ps_go_on_without(ps);
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));) {
        int worker = a->worker;
        if (a->departed)
            continue;
        if (a->asks) {
            ps_discard(ps, worker);
            ps_reply(ps, worker);
            continue;
        }
        scale[worker] = 1;
        ps_add(ps, scale);
        scale[worker] = 0;
    }
    xfree(scale);
    ps_server_close(ps);
}

void easgd_work(struct node *n)
{
    work(n, false);
}

void eamsgd_work(struct node *n)
{
    work(n, true);
}
