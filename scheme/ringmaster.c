/* Ringmaster ASGD: asynchronous SGD without gradients that are too old.
 *
 *   d < R:  w(v+1) = w(v) - lr (1 / B) sum over B mini-batches of grad f(w(v - d))
 *   else the push is ignored; either way its worker gets the newest weights
 *
 * d, the age, counts the updates since that worker pulled. With R = 1 the first to arrive wins;
 * with an R that no age reaches the scheme is asgd, bit for bit. The paper's R is max(1,
 * ceil(sigma^2 / epsilon)), of the gradients' variance and the accuracy that is wanted: to be
 * tuned. By default it is W, which drops nothing at equal speeds.
 * With --ringmaster-stops a worker whose weights reach the age R is told by a signal. It drops what
 * it computes at its next unit, and starts again at the newest weights: the paper's algorithm 5,
 * else its algorithm 4. Cost as asgd; with stops a header, a request and a pull for each worker
 * that is stopped. --server-momentum: as in asgd. Staleness at most R - 1. Maranjyan, Tyurin,
 * Richtarik ICML 2025, arXiv:2501.16168. */
#include "base/alloc.h"
#include "base/check.h"
#include "scheme/asynchronous.h"
#include "scheme/scheme.h"
#include "signals/signals.h"

struct ringmaster_options {
    int64_t ringmaster_r; /* updates */
    bool ringmaster_stops;
    const char *server_momentum;
};

#define AT(field) offsetof(struct ringmaster_options, field)

static const struct option_row rows[] = {
    {.name = "ringmaster-r",
     .type = OPTION_INT,
     .offset = AT(ringmaster_r),
     .preset = "0",
     .placeholder = "R",
     .help = "gradients of an age of R updates or more are ignored (0: R is the workers' number)"},
    {.name = "ringmaster-stops",
     .type = OPTION_FLAG,
     .offset = AT(ringmaster_stops),
     .preset = "no",
     .help = "a worker whose weights reach that age starts again at the newest"},
    SERVER_MOMENTUM(AT(server_momentum)),
    {0}};

static const struct option_set option_set = {.title = "Scheme ringmaster",
                                             .owner = "--scheme ringmaster",
                                             .rows = rows,
                                             .size = sizeof(struct ringmaster_options)};

static void check(const struct options *o, int workers)
{
    const struct ringmaster_options *own = options_of(o, &option_set);
    (void)workers;
    server_momentum_check(own->server_momentum, o);
    if (own->ringmaster_stops && (*o->record || *o->replay))
        fatal("--%s: when a worker is stopped no record says; leave --ringmaster-stops out",
              *o->record ? "record" : "replay");
}

static int64_t age_limit(const struct node *n)
{
    const struct ringmaster_options *o = options_of(n->context->options, &option_set);
    return o->ringmaster_r ? o->ringmaster_r : n->context->workers;
}

static enum node_flow hear(void *self)
{
    return signals_heard(self) ? NODE_INTERRUPTED : NODE_CONTINUE;
}

/* A batch, unless a signal stops it. */
static enum node_flow compute(struct node *n)
{
    while (n->finished < n->context->minibatches)
        if (node_minibatch(n) == NODE_INTERRUPTED) {
            node_discard(n);
            return NODE_INTERRUPTED;
        }
    return NODE_CONTINUE;
}

static void work_until_stopped(struct node *n)
{
    struct ps_client *ps = ps_client_open(n);
    struct signals s = signals_open(n, false);
    node_set_interrupt(n, hear, &s, (struct request *const *[]){&s.posted}, 1);
    node_clear(n);
    ps_pull(ps, n->w);
    while (ps_wait(ps)) {
        s.round = n->version + age_limit(n); /* a signal names the version that it was sent at */
        if (compute(n) == NODE_CONTINUE) {
            ps_push(ps, n->sum);
            node_clear(n);
        } else {
            ps_request(ps);
        }
        ps_pull(ps, n->w);
    }
    node_set_interrupt(n, NULL, NULL, NULL, 0);
    signals_close(&s, ps_depart(ps, 0));
    ps_client_close(ps);
}

static void work(struct node *n)
{
    const struct ringmaster_options *o = options_of(n->context->options, &option_set);
    (o->ringmaster_stops ? work_until_stopped : ps_work)(n);
}

/* Those whose weights have just reached the age R. */
static void stop_the_late(struct ps_server *ps, const struct node *n, const int64_t *version)
{
    for (int i = 0; i < n->context->workers; i++)
        if (n->version - version[i] == age_limit(n))
            ps_signal(ps, i);
}

static void serve(struct node *n)
{
    const struct ringmaster_options *o = options_of(n->context->options, &option_set);
    struct ps_server *ps = ps_server_open(n);
    /* of the weights that each worker has; INT64_MAX: it has departed, or is absent */
    int64_t *version = xcalloc((size_t)n->context->workers, sizeof *version);
    for (int i = 0; i < n->context->workers; i++)
        version[i] = n->version;
    n->races = true;
    ps_go_on_without(ps);
    ps_agree_on_order(ps);
    server_momentum_open(o->server_momentum, ps);
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));) {
        int worker = a->worker;
        bool departed = a->departed, fresh = a->minibatches && a->staleness < age_limit(n);
        version[worker] = departed ? INT64_MAX : n->version;
        if (fresh)
            ps_step_one(ps, worker, 1.0 / n->context->minibatches, node_lr(n));
        else
            ps_discard(ps, worker);
        if (!departed) {
            version[worker] = n->version;
            ps_reply(ps, worker);
        }
        if (fresh && o->ringmaster_stops && n->rank == 0 && !n->stop)
            stop_the_late(ps, n, version);
    }
    xfree(version);
    ps_server_close(ps);
}

const struct scheme scheme_ringmaster = {
    .name = "ringmaster",
    .rule = "asgd that ignores gradients of an age of R updates or more",
    .paper = "Maranjyan et al. 2025, arXiv:2501.16168",
    .deviations = "R is to be tuned, by default W, where the paper has a formula in the gradients' "
                  "variance; what is stopped ends at its next unit",
    .flags = REPLAYS | PUSHES | COMPRESSES | LOCKSTEP | SURVIVES,
    .messages = "a push, a pull",
    .floats = "2 n",
    .staleness = "at most R - 1",
    .options = &option_set,
    .check = check,
    .state = (const char *const[]){"server.optimizers", NULL},
    .work = work,
    .serve = serve,
};
