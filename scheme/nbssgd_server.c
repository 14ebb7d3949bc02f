/* nbssgd's server: one update from the pushes of all workers, or one from each push. */
#include "scheme/nbssgd.h"

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
    if (is(o->nb_inflight, "abort") && is(o->nb_batch, "keep"))
        node_explain_starvation(n, "--nb-inflight abort drops each mini-batch that a signal meets "
                                   "unfinished; take --nb-inflight carry, or --nb-batch reset");
    if (n->races && (k.weigh.by == WEIGH_SAMPLES || k.weigh.by == WEIGH_CAPPED))
        ps_agree_on_order(k.ps);
    if (is(o->nb_signal, "relay"))
        ps_relay_signals(k.ps);
    ps_reply_all(k.ps);
    (n->races ? serve_racing : serve_locked)(&k);
    xfree(k.scale);
    ps_server_close(k.ps);
}
