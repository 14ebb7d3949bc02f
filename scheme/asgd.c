/* Asynchronous SGD: every push makes an update at once, no worker waits for another.
 *
 *   w(v+1) = w(v) - lr_s (1 / B) sum over B mini-batches of grad f(w(v - s))
 *
 * s, the staleness, counts the updates since that worker pulled: about W - 1, unbounded. An update
 * costs its worker one push and one pull of n floats. Options:
 *   --stale-lr inverse    lr_s = lr / max(1, s): equation 6 of Zhang, Gupta, Lian, Liu 2016,
 *                         arXiv:1511.05950
 *   --stale-lr adaptive   lr_s = lr W / max(W, s), the step of delay-adaptive asgd: Mishchenko,
 *                         Bach, Even, Woodworth 2022, arXiv:2206.07638
 *   --softsync N          n-softsync of Zhang et al. 2016: one update from the mean of c =
 *                         floor(W / N) pushes; s is about N. Nobody waits for the update: a push
 *                         joins the sum under way, and its worker goes on with the newest weights
 *                         at once (a header, where it has them already). A worker may give several
 *                         pushes of a sum, which is made in the order of arrival
 * Deviations: the gradient is scaled, not the rate. That is the same under plain SGD; with momentum
 * what is remembered is scaled, too. Rules that rescale gradients are refused. */
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

struct asgd_options {
    const char *stale_lr;
    int64_t softsync;
};

#define AT(field) offsetof(struct asgd_options, field)

static const struct option_row rows[] = {
    {.name = "stale-lr",
     .type = OPTION_CHOICE,
     .offset = AT(stale_lr),
     .preset = "plain",
     .choices = "plain|inverse|adaptive",
     .help = "the learning rate as it is, divided by the staleness, or by what of it exceeds W",
     .old = "stale-rate"},
    {.name = "softsync",
     .type = OPTION_INT,
     .offset = AT(softsync),
     .preset = "0",
     .placeholder = "N",
     .help = "one update from every W/N gradients (0: from each)",
     .most = 100000},
    {0}};

static const struct option_set option_set = {.title = "Scheme asgd",
                                             .owner = "--scheme asgd",
                                             .rows = rows,
                                             .size = sizeof(struct asgd_options)};

/* Rules that rescale a gradient undo its scale. */
static void check(const struct options *o, int workers)
{
    const struct asgd_options *own = options_of(o, &option_set);
    (void)workers;
    if (strcmp(own->stale_lr, "plain") && strcmp(o->optimizer, "sgd") &&
        strcmp(o->optimizer, "nesterov"))
        fatal("--stale-lr %s: %s hardly notices a gradient that is scaled by its staleness; "
              "take --optimizer sgd or nesterov",
              own->stale_lr, o->optimizer);
}

struct server {
    struct ps_server *ps;
    struct node *n;
    const char *stale_lr;
    int size;      /* pushes that make an update */
    int count;     /* of them are in the sum under way */
    float *scaled; /* [slice]; a push of a sum, scaled; NULL: none is */
};

/* lr_s / lr */
static double scale_of(const struct server *s, int64_t staleness)
{
    double workers = s->n->context->workers, age = (double)staleness;
    if (!strcmp(s->stale_lr, "inverse"))
        return age > 1 ? 1 / age : 1;
    if (!strcmp(s->stale_lr, "adaptive"))
        return age > workers ? workers / age : 1;
    return 1;
}

static void accumulate(struct server *s, int worker, double scale)
{
    if (s->scaled) {
        const struct range slice = ps_slice(s->ps);
        vector_sum(s->scaled, (const float *const[]){ps_vector(s->ps, worker)}, &scale, 1,
                   slice.to - slice.from, s->n->context->threads);
        node_advance_vector(s->n, slice.to - slice.from, 2);
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

static void take(struct server *s, struct push a)
{
    if (!a.departed && s->size == 1)
        ps_step_one(s->ps, a.worker, scale_of(s, a.staleness) / s->n->context->minibatches);
    else if (!a.departed)
        accumulate(s, a.worker, scale_of(s, a.staleness));
    step_when_full(s);
    if (a.departed)
        return;
    if (s->n->version == a.version)
        ps_reply_unchanged(s->ps, a.worker);
    else
        ps_reply(s->ps, a.worker);
}

static struct server open_server(struct node *n)
{
    const struct asgd_options *o = options_of(n->context->options, &option_set);
    int workers = n->context->workers;
    struct server s = {.ps = ps_server_open(n),
                       .n = n,
                       .stale_lr = o->stale_lr,
                       .size =
                           o->softsync && o->softsync < workers ? workers / (int)o->softsync : 1};
    const struct range slice = ps_slice(s.ps);
    if (s.size > 1 && strcmp(s.stale_lr, "plain"))
        s.scaled = xcalloc((size_t)(slice.to - slice.from), sizeof *s.scaled);
    return s;
}

static void work(struct node *n)
{
    ps_work(n);
}

static void serve(struct node *n)
{
    struct server s = open_server(n);
    n->races = true;
    ps_reply_all(s.ps);
    for (const struct push *a; (a = ps_next(s.ps));)
        take(&s, *a);
    xfree(s.scaled);
    ps_server_close(s.ps);
}

const struct scheme scheme_asgd = {
    .name = "asgd",
    .rule = "every push makes an update at once",
    .paper = "Zhang et al. 2016, arXiv:1511.05950",
    .flags = REPLAYS | PUSHES | COMPRESSES,
    .messages = "a push, a pull",
    .floats = "2 n",
    .staleness = "about W - 1, unbounded",
    .options = &option_set,
    .check = check,
    .state = (const char *const[]){"worker.weights", NULL},
    .work = work,
    .serve = serve,
};
