/* What asynchronous schemes share: small states of a server, and what they refuse. */
#include "scheme/asynchronous.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

/* --- --stale-lr --- */

struct worker { /* its pushes, by their numbers among those of all */
    int64_t first, last, count;
};

struct stale_lr {
    const char *kind;
    int workers;
    int64_t pushes;        /* of all */
    struct worker *worker; /* [workers] */
    double sum;            /* of the known tau */
    int64_t known;
};

void stale_lr_check(const char *kind, const struct options *o)
{
    if (strcmp(kind, "plain") && optimizer_rescales(o->optimizer))
        fatal("--stale-lr %s scales the gradients of a sum, which %s hardly notices; take "
              "--optimizer sgd or nesterov",
              kind, o->optimizer);
}

static bool rescales_shared(const char *kind, const char *server_momentum)
{
    return !strcmp(kind, "rescaled") && !strcmp(server_momentum, "shared");
}

bool stale_lr_scales_gradients(const char *kind, const char *server_momentum,
                               const struct options *o)
{
    return rescales_shared(kind, server_momentum) && !optimizer_rescales(o->optimizer) &&
           optimizer_options_of(o, o->optimizer).momentum > 0;
}

void stale_lr_check_shared(const char *kind, const char *server_momentum, const struct options *o)
{
    if (!rescales_shared(kind, server_momentum))
        return;
    if (optimizer_options_of(o, o->optimizer).beta1 > 0)
        fatal("--stale-lr rescaled: the moments of %s, shared, carry gradients on at other "
              "workers' rates; take --server-momentum worker",
              o->optimizer);
    if (o->clip > 0 && stale_lr_scales_gradients(kind, server_momentum, o))
        fatal("--stale-lr rescaled: --clip would undo what scales gradients for a shared "
              "momentum; take --server-momentum worker");
}

static bool is_known(const struct worker *w)
{
    return w->count > 1;
}

static double tau(const struct worker *w)
{
    return is_known(w) ? (double)(w->last - w->first) / (double)(w->count - 1) : 0;
}

static void sum_known(struct stale_lr *s)
{
    s->sum = 0;
    s->known = 0;
    for (int i = 0; i < s->workers; i++) {
        s->sum += tau(&s->worker[i]);
        s->known += is_known(&s->worker[i]);
    }
}

struct stale_lr *stale_lr_open(struct node *n, const char *kind)
{
    struct stale_lr *s = xcalloc(1, sizeof *s);
    s->kind = kind;
    s->workers = n->context->workers;
    s->worker = xcalloc((size_t)s->workers, sizeof *s->worker);
    node_keep(n, "server.pushes", STATE_I64, &s->pushes, 1);
    node_keep_by_worker(n, "server.pushes/workers", STATE_I64, s->worker,
                        (int64_t)(sizeof *s->worker / sizeof(int64_t)));
    node_keep(n, "server.pushes/sum", STATE_F64, &s->sum, 1);
    node_keep(n, "server.pushes/known", STATE_I64, &s->known, 1);
    if (node_workers_before(n))
        sum_known(s);
    return s;
}

void stale_lr_close(struct stale_lr *s)
{
    xfree(s->worker);
    xfree(s);
}

static double rescaled(struct stale_lr *s, int worker)
{
    struct worker *w = &s->worker[worker];
    s->sum -= tau(w);
    s->known -= is_known(w);
    w->last = ++s->pushes;
    if (!w->count++)
        w->first = w->last;
    s->sum += tau(w);
    s->known += is_known(w);
    return is_known(w) ? tau(w) * (double)s->known / s->sum : 1;
}

double stale_lr_at(struct stale_lr *s, const struct push *a)
{
    double age = (double)a->staleness, workers = s->workers;
    if (!strcmp(s->kind, "inverse"))
        return 1 / fmax(1, age);
    if (!strcmp(s->kind, "adaptive"))
        return workers / fmax(workers, age);
    return !strcmp(s->kind, "rescaled") ? rescaled(s, a->worker) : 1;
}

void stale_lr_departed(struct stale_lr *s, int worker)
{
    struct worker *w = &s->worker[worker];
    s->sum -= tau(w);
    s->known -= is_known(w);
    *w = (struct worker){0};
}

/* --- --server-momentum --- */

void server_momentum_check(const char *value, const struct options *o)
{
    const struct optimizer_options q = optimizer_options_of(o, o->optimizer);
    if (!strcmp(value, "shared"))
        return;
    if (!optimizer_rescales(o->optimizer) && q.momentum == 0)
        fatal("--server-momentum worker: --momentum 0 remembers nothing; leave one of them out");
    if (strcmp(o->server_device, "cpu"))
        fatal("--server-momentum worker: a device holds one state; take --server-device cpu");
}

void server_momentum_open(const char *value, struct ps_server *ps)
{
    if (!strcmp(value, "worker"))
        ps_own_optimizers(ps);
}
