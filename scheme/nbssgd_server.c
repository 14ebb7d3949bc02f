/* nbssgd's server: one update from the pushes of all workers, or one from each push. */
#include "scheme/nbssgd.h"

#include <string.h>

#include "base/alloc.h"
#include "parameter_server/parameter_server.h"

static bool is(const char *option, const char *value)
{
    return !strcmp(option, value);
}

/* How much each worker's push counts in one update; 0 for all when nothing was finished. */
static void weigh(const struct node *n, const struct ps_server *ps, bool weights, bool full,
                  double *scale)
{
    int workers = n->context->workers;
    double total = 0;
    for (int i = 0; i < workers; i++)
        total += (double)ps_received(ps, i)->minibatches;
    if (full)
        total = (double)workers * n->context->minibatches;
    for (int i = 0; i < workers; i++) {
        double minibatches = (double)ps_received(ps, i)->minibatches;
        scale[i] = minibatches > 0 ? (weights ? minibatches : 1) / total : 0;
    }
}

/* Locked: the pushes of all workers make one update. Racing: each makes its own at once; pushed
 * weights then move the server's by their part of a whole version, so that they count as in the
 * locked case. */
void nbssgd_serve(struct node *n)
{
    const struct nbssgd_options *o = options_of(n->context->options, &nbssgd_option_set);
    bool weights = is(o->nb_payload, "weights"), full = is(o->nb_weigh, "full");
    struct ps_server *ps = ps_server_open(n);
    double *scale = xcalloc((size_t)n->context->workers, sizeof *scale);
    n->races = is(o->nb_server, "racing");
    if (is(o->nb_signal, "relay"))
        ps_relay_signals(ps);
    ps_reply_all(ps);
    for (;;) {
        const struct push *one = n->races ? ps_next(ps) : NULL;
        int worker = one ? one->worker : -1;
        if (n->races ? !one : !ps_collect(ps))
            break;
        if (one && one->departed)
            continue;
        weigh(n, ps, weights, full || (n->races && weights), scale);
        if (one && !one->minibatches) /* met by a signal with nothing finished: no update, so
                                           nobody's staleness */
            ps_discard(ps, worker);
        else
            (weights ? ps_average : ps_step)(ps, scale);
        n->races ? ps_reply(ps, worker) : ps_reply_all(ps);
    }
    xfree(scale);
    ps_server_close(ps);
}
