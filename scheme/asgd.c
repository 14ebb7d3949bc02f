/* Asynchronous SGD: every push makes an update at once, nobody waits for anybody.
 *
 *   w(v+1) = w(v) - rate_s x (1 / B) sum over B mini-batches of grad f(w(v - s)),   s: updates
 *       since that worker pulled
 *
 * An update costs its worker one push and one pull of n floats. Staleness: about W - 1, unbounded.
 * Options:
 *   --stale-lr inverse   rate_s = rate / max(1, s): Zhang, Gupta, Lian, Liu 2016, arXiv:1511.05950,
 *                        equation 6. The gradient is
 *                          divided, which is the same under sgd and nesterov; rules that rescale
 *                            gradients are refused
 *   --softsync N           n-softsync of the same paper: an update from the mean of floor(W / N)
 *                          pushes, staleness about N
 *   --stale-bound S        pushes staler than S are dropped: Maranjyan, Tyurin, Richtarik 2025
 *                          (Ringmaster ASGD), arXiv:2501.16168 */
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

struct asgd_options {
    const char *stale_lr;
    int64_t stale_bound, softsync;
};

#define AT(field) offsetof(struct asgd_options, field)

static const struct option_row rows[] = {
    {.name = "stale-lr",
     .type = OPTION_CHOICE,
     .offset = AT(stale_lr),
     .preset = "plain",
     .choices = "plain|inverse",
     .help = "the learning rate as it is, or divided by the staleness",
     .old = "stale-rate"},
    {.name = "stale-bound",
     .type = OPTION_INT,
     .offset = AT(stale_bound),
     .preset = "0",
     .placeholder = "N",
     .help = "drop gradients that are staler than N updates (0: none)"},
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

/* Rules that rescale a gradient undo its division. */
static void check(const struct options *o, int workers)
{
    const struct asgd_options *own = options_of(o, &option_set);
    (void)workers;
    if (!strcmp(own->stale_lr, "inverse") && strcmp(o->optimizer, "sgd") &&
        strcmp(o->optimizer, "nesterov"))
        fatal("--stale-lr inverse: %s hardly notices a gradient that is divided by its staleness; "
              "take --optimizer sgd or nesterov",
              o->optimizer);
}

static void work(struct node *n)
{
    ps_work(n);
}

static void serve(struct node *n)
{
    const struct asgd_options *o = options_of(n->context->options, &option_set);
    int workers = n->context->workers, here = 0;
    int group = o->softsync && o->softsync < workers ? workers / (int)o->softsync : 1;
    bool inverse = !strcmp(o->stale_lr, "inverse");
    struct ps_server *ps = ps_server_open(n);
    double *scale = xcalloc((size_t)workers, sizeof *scale);
    n->races = true;
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));) {
        int worker = a->worker;
        if (o->stale_bound && a->staleness > o->stale_bound) {
            ps_discard(ps, worker);
            ps_reply(ps, worker);
            continue;
        }
        if (!a->departed) {
            scale[worker] = inverse && a->staleness > 1 ? 1 / (double)a->staleness : 1;
            here++;
        }
        if (!here || (here < group && here < ps_present(ps)))
            continue;
        for (int i = 0; i < workers; i++) /* fewer than a group once workers have left */
            scale[i] /= (double)here * n->context->minibatches;
        ps_step(ps, scale);
        ps_reply_all(ps);
        memset(scale, 0, (size_t)workers * sizeof *scale);
        here = 0;
    }
    xfree(scale);
    ps_server_close(ps);
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
