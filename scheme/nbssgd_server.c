/* nbssgd's server: one update from the pushes of all workers, or one from each push. */
#include "scheme/nbssgd.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "parameter_server/parameter_server.h"

struct server {
    struct node *n;
    struct ps_server *ps;
    struct nbssgd_weigh weigh;
    double *scale;          /* [workers] */
    bool weights, rescales; /* what is pushed; the rule divides a gradient by its size */
};

static bool is(const char *option, const char *value)
{
    return !strcmp(option, value);
}

static double minibatches_of(const struct server *k, int worker)
{
    return (double)ps_received(k->ps, worker)->minibatches;
}

/* One update from the pushes that are here. Of pushed weights each worker's counts by its
 * mini-batches; a racing server is sent the way that its weights went. */
static void update(struct server *k)
{
    const struct run_context *c = k->n->context;
    double total = 0;
    for (int i = 0; i < c->workers; i++)
        total += minibatches_of(k, i);
    double full = (double)ps_present(k->ps) * c->minibatches,
           divisor = total > 0 ? nbssgd_divisor(&k->weigh, total, full) : 1;
    double lr = node_lr(k->n);
    if (total > 0 && k->rescales && !k->weights) {
        lr *= total / divisor;
        divisor = total;
    }
    for (int i = 0; i < c->workers; i++) {
        double minibatches = minibatches_of(k, i);
        k->scale[i] = minibatches > 0 ? (k->weights ? minibatches : 1) / divisor : 0;
    }
    if (k->weights)
        (k->n->races ? ps_add : ps_average)(k->ps, k->scale);
    else
        ps_step_at(k->ps, k->scale, lr);
}

static void serve_locked(struct server *k)
{
    while (ps_collect(k->ps)) {
        update(k);
        ps_reply_all(k->ps);
    }
}

/* --nb-drop-late: the version that is open. */
struct round {
    bool *in, *here;  /* [workers]: it has the version's weights; its push is here */
    int pushes;       /* that are here */
    double closes_s;  /* of the training clock; INFINITY: no push so far */
    double waiting_s; /* --nb-drop-late */
};

static bool is_complete(const struct server *k, const struct round *r)
{
    for (int i = 0; i < k->n->context->workers; i++)
        if (r->in[i] && !r->here[i])
            return false;
    return true;
}

/* One update; who contributed gets the next version's weights. */
static void close_round(struct server *k, struct round *r)
{
    update(k);
    ps_reply_all(k->ps);
    for (int i = 0; i < k->n->context->workers; i++) {
        r->in[i] = r->here[i];
        r->here[i] = false;
    }
    r->pushes = 0;
    r->closes_s = INFINITY;
}

/* A push in time, a departure, or the end of the time. The first to finish pushes when it signals,
 * the others when they have heard it. */
static void take(struct server *k, struct round *r, const struct push *a)
{
    if (a->departed)
        r->in[a->worker] = false;
    if (!a->departed && !a->expired) {
        r->here[a->worker] = true;
        r->pushes++;
        r->closes_s = fmin(r->closes_s, node_clock_then(k->n, a->sent_s) + r->waiting_s);
    }
    if (r->pushes && (a->expired || is_complete(k, r)))
        close_round(k, r);
}

/* Locked, but a version closes --nb-drop-late after its signal. A push that comes later is of an
 * older version: it is dropped, and its worker is in the version that is open from then on. So one
 * that does not come at all holds up one version. */
static void serve_in_time(struct server *k, double waiting_s)
{
    size_t workers = (size_t)k->n->context->workers;
    struct round r = {.in = xcalloc(workers, sizeof *r.in),
                      .here = xcalloc(workers, sizeof *r.here),
                      .closes_s = INFINITY,
                      .waiting_s = waiting_s};
    memset(r.in, true, workers * sizeof *r.in);
    for (const struct push *a; (a = ps_next_until(k->ps, r.closes_s));) {
        int worker = a->worker;
        if (a->expired || a->departed || a->version == k->n->version) {
            take(k, &r, a);
            continue;
        }
        ps_send_back(k->ps, worker);
        ps_reply(k->ps, worker);
        r.in[worker] = true;
    }
    xfree(r.in);
    xfree(r.here);
}

static void serve_racing(struct server *k)
{
    for (const struct push *one; (one = ps_next(k->ps));) {
        int worker = one->worker;
        if (one->departed)
            continue;
        if (one->minibatches)
            update(k);
        else /* met by a signal with nothing finished: no update, so nobody's staleness */
            ps_discard(k->ps, worker);
        ps_reply(k->ps, worker);
    }
}

void nbssgd_serve(struct node *n)
{
    const struct options *all = n->context->options;
    const struct nbssgd_options *o = options_of(all, &nbssgd_option_set);
    struct server k = {.n = n,
                       .ps = ps_server_open(n),
                       .weigh = nbssgd_weigh_open(o),
                       .scale = xcalloc((size_t)n->context->workers, sizeof *k.scale),
                       .weights = is(o->nb_payload, "weights"),
                       .rescales = optimizer_rescales(all->optimizer)};
    n->races = is(o->nb_server, "racing");
    node_keep(n, "server.minibatches", STATE_F64, &k.weigh.minibatches, 1);
    node_keep(n, "server.updates", STATE_I64, &k.weigh.updates, 1);
    if (node_workers_before(n) && !n->races) /* the mean of a version, in proportion */
        k.weigh.minibatches *= (double)n->context->workers / node_workers_before(n);
    if (is(o->nb_inflight, "abort") && is(o->nb_batch, "keep"))
        node_explain_starvation(n, "--nb-inflight abort drops each mini-batch that a signal meets "
                                   "unfinished; take --nb-inflight carry, or --nb-batch reset");
    if (o->nb_drop_late > 0 ||
        (n->races && (k.weigh.by == WEIGH_SAMPLES || k.weigh.by == WEIGH_CAPPED)))
        ps_agree_on_order(k.ps);
    if (is(o->nb_signal, "relay"))
        ps_relay_signals(k.ps);
    if (o->nb_drop_late > 0)
        ps_lend_copies(k.ps);
    if (o->nb_drop_late > 0 || n->races)
        ps_go_on_without(k.ps);
    ps_reply_all(k.ps);
    if (o->nb_drop_late > 0)
        serve_in_time(&k, o->nb_drop_late);
    else
        (n->races ? serve_racing : serve_locked)(&k);
    xfree(k.scale);
    ps_server_close(k.ps);
}
