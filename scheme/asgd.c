/* Asynchronous SGD: every push makes an update at once, no worker waits for another.
 *
 *   w(v+1) = w(v) - lr_s (1 / B) sum over B mini-batches of grad f(w(v - s))
 *
 * s, the staleness, counts the updates since that worker pulled: about W - 1, unbounded. An update
 * costs its worker one push and one pull of n floats. Options:
 *   --stale-lr inverse   lr_s = lr / max(1, s): equation 6 of Zhang, Gupta, Lian, Liu 2016,
 *                        arXiv:1511.05950. The gradient is divided, which is the same under sgd and
 *                        nesterov; rules that rescale gradients are refused
 *   --softsync N         n-softsync of the same paper: one update from the mean of floor(W / N)
 *                        pushes; the staleness is about N
 *   --stale-bound S      pushes staler than S are dropped: Ringmaster ASGD, Maranjyan, Tyurin,
 *                        Richtarik 2025, arXiv:2501.16168 */
#include <string.h>

#include "base/check.h"
#include "parameter_server/parameter_server.h"
#include "scheme/groups.h"

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
    int workers = n->context->workers;
    groups_serve(n, &(struct groups){.size = o->softsync && o->softsync < workers
                                                 ? workers / (int)o->softsync
                                                 : 1,
                                     .stalest = o->stale_bound ? o->stale_bound : INT64_MAX,
                                     .by_staleness = !strcmp(o->stale_lr, "inverse")});
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
