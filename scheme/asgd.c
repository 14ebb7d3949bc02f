/* Asynchronous SGD: every push makes an update at once, no worker waits for another.
 *
 *   w(v+1) = w(v) - lr_s (1 / B) sum over B mini-batches of grad f(w(v - s))
 *
 * s, the staleness, counts the updates since that worker pulled: about W - 1, unbounded. An update
 * costs its worker one push and one pull of n floats. Options:
 *   --stale-lr inverse | adaptive | rescaled
 *                     lr_s by the staleness, or by the speed of its worker: scheme/asynchronous.h.
 *                     With a shared momentum rescaled scales the gradient, which it carries on
 *   --server-momentum worker
 *                     each worker's pushes have a momentum of their own at the server (Adam's
 *                     moments, too). Cost: that state W times
 *   --softsync N      n-softsync of Zhang et al. 2016: one update from the mean of c = floor(W / N)
 *                     pushes; s is about N. Nobody waits for the update: a push joins the sum under
 *                     way, and its worker goes on with the newest weights at once (a header, where
 *                     it has them already). A worker may give several pushes of a sum, which is
 *                     made in the order of arrival
 *                     With --stale-lr each gradient of it is scaled: rules that rescale gradients
 *                     are refused
 * Several servers race: each takes pushes in an order of its own. Zhang, Gupta, Lian, Liu 2016,
 * arXiv:1511.05950. */
#include <string.h>

#include "base/check.h"
#include "scheme/asynchronous.h"
#include "scheme/scheme.h"

struct asgd_options {
    const char *stale_lr, *server_momentum;
    int64_t softsync;
};

#define AT(field) offsetof(struct asgd_options, field)

static const struct option_row rows[] = {
    {.name = "stale-lr",
     .type = OPTION_CHOICE,
     .offset = AT(stale_lr),
     .preset = "plain",
     .choices = STALE_LR,
     .help =
         "the learning rate as it is, divided by the staleness, as far as that exceeds W, or by "
         "the worker's speed",
     .old = "stale-rate"},
    {.name = "softsync",
     .type = OPTION_INT,
     .offset = AT(softsync),
     .preset = "0",
     .placeholder = "N",
     .help = "one update from every W/N gradients (0: from each)",
     .most = 100000},
    SERVER_MOMENTUM(AT(server_momentum)),
    {0}};

static const struct option_set option_set = {.title = "Scheme asgd",
                                             .owner = "--scheme asgd",
                                             .rows = rows,
                                             .size = sizeof(struct asgd_options)};

static void check(const struct options *o, int workers)
{
    const struct asgd_options *own = options_of(o, &option_set);
    (void)workers;
    if (own->softsync)
        stale_lr_check(own->stale_lr, o);
    else
        stale_lr_check_shared(own->stale_lr, own->server_momentum, o);
    server_momentum_check(own->server_momentum, o);
    if (own->softsync && !strcmp(own->server_momentum, "worker"))
        fatal("--server-momentum worker: an update of --softsync is of several workers; leave one "
              "of them out");
}

struct server {
    struct ps_server *ps;
    struct node *n;
    struct stale_lr *lr;
    bool scales;   /* its factors are of gradients, not of rates */
    int size;      /* pushes that make an update */
    int count;     /* of them are in the sum under way */
    float *scaled; /* [slice]; a push of a sum, scaled; NULL: none is */
};

static void accumulate(struct server *s, int worker, double scale)
{
    if (s->scaled) {
        const struct range slice = ps_slice(s->ps);
        node_sum(s->n, s->scaled, (const float *const[]){ps_vector(s->ps, worker)}, &scale, 1,
                 slice.to - slice.from);
        ps_replace(s->ps, worker, s->scaled);
    }
    ps_accumulate(s->ps, worker);
    s->count++;
}

/* The sum has its pushes, or nobody is there to give more. */
static void step_when_full(struct server *s)
{
    if (!s->count || (s->count < s->size && s->count < ps_present(s->ps)))
        return;
    ps_step_accumulated(s->ps, 1.0 / ((double)s->count * s->n->context->minibatches));
    s->count = 0;
}

static void step(struct server *s, int worker, double factor)
{
    double mean = 1.0 / s->n->context->minibatches, lr = node_lr(s->n);
    if (s->scales)
        ps_step_one(s->ps, worker, factor * mean, lr);
    else
        ps_step_one(s->ps, worker, mean, factor * lr);
}

static void take(struct server *s, struct push a)
{
    if (a.departed)
        stale_lr_departed(s->lr, a.worker);
    else if (s->size == 1)
        step(s, a.worker, stale_lr_at(s->lr, &a));
    else
        accumulate(s, a.worker, stale_lr_at(s->lr, &a));
    step_when_full(s);
    if (a.departed)
        return;
    if (s->n->version == a.version)
        ps_reply_unchanged(s->ps, a.worker);
    else
        ps_reply(s->ps, a.worker);
}

static struct server server_open(struct node *n, const struct asgd_options *o)
{
    int workers = n->context->workers;
    struct server s = {
        .ps = ps_server_open(n),
        .n = n,
        .lr = stale_lr_open(n, o->stale_lr),
        .scales = stale_lr_scales_gradients(o->stale_lr, o->server_momentum, n->context->options),
        .size = o->softsync && o->softsync < workers ? workers / (int)o->softsync : 1};
    const struct range slice = ps_slice(s.ps);
    server_momentum_open(o->server_momentum, s.ps);
    if (s.size > 1 && strcmp(o->stale_lr, "plain"))
        s.scaled = node_vector(n, slice.to - slice.from);
    return s;
}

static void work(struct node *n)
{
    ps_work(n);
}

static void serve(struct node *n)
{
    struct server s = server_open(n, options_of(n->context->options, &option_set));
    n->races = true;
    ps_go_on_without(s.ps);
    ps_reply_all(s.ps);
    for (const struct push *a; (a = ps_next(s.ps));)
        take(&s, *a);
    ps_server_close(s.ps);
    stale_lr_close(s.lr);
    node_vector_free(n, s.scaled);
}

const struct scheme scheme_asgd = {
    .name = "asgd",
    .rule = "every push makes an update at once",
    .paper = "Zhang et al. 2016, arXiv:1511.05950",
    .deviations = "several servers race: each takes pushes in an order of its own; --stale-lr "
                  "rescaled counts a worker's time in pushes of all, where the paper has seconds",
    .flags = REPLAYS | PUSHES | COMPRESSES | SURVIVES,
    .messages = "a push, a pull",
    .floats = "2 n",
    .staleness = "about W - 1, with --softsync N about N; unbounded",
    .options = &option_set,
    .check = check,
    .state = (const char *const[]){"server.pushes", "server.optimizers", NULL},
    .work = work,
    .serve = serve,
};
