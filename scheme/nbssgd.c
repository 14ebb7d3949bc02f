/* Non-blocking synchronous SGD: the first to finish its batch signals, every worker pushes what it
 * has at once, and no worker waits for the slowest.
 *
 *   w(v+1) = w(v) - lr (sum of the gradients at w(v) of the N mini-batches finished in version v)
 *            / max(N, the mean of N so far)
 *
 * As published the divisor is N (--nb-weigh finished); nbssgd_weigh.c has the others. After an
 * update all begin a new batch; with --nb-batch keep who was interrupted goes on with its own.
 *
 * Cost of a version: one push and one pull of n floats for each worker, and W - 1 signals without
 * payload from the one that finishes first. Staleness 0, except with --nb-inflight carry (an
 * interrupted mini-batch counts in the version it ends in) and --nb-server racing. He, Dube 2022,
 * arXiv:2211.00889. A server sums, where the paper names ring all-reduce, D-PSGD and MATCHA; what
 * it leaves open are the options --nb-* (nbssgd_options.c).
 *
 * A racing server takes each push as an update of its own, by the same formula: with gradients it
 * is asgd whose batches vary. Pushed weights (local SGD) move it alike: it adds the way that they
 * went since they came. So with one mini-batch a batch both payloads are one scheme. Versions then
 * differ between workers; a signal's round is a logical clock, which each exchange moves past the
 * newest signal heard. Otherwise it is the version.
 *
 * With --nb-drop-late S a version closes S seconds after its signal, by rank 0's clock and for all
 * servers alike. A push that reaches rank 0 later contributes nothing. Its worker is told, gets the
 * newest weights, and computes these samples again. Nobody waits for a worker that is not in the
 * version, so one that stops holds up one version. Workers are lent copies of the weights, so that
 * one that has not taken its own yet holds up no update: a copy per version, and n floats more for
 * each worker that is late. */
#include "scheme/nbssgd.h"

static enum node_flow hear_and_abort(void *self)
{
    struct nbssgd_worker *k = self;
    return signals_heard(&k->signals) ? NODE_INTERRUPTED : NODE_CONTINUE;
}

/* Between two units of a mini-batch that goes on whatever comes: exchanges start and end under it.
 * Where a push was dropped it does not go on: what was pushed is done again, in order. */
static enum node_flow hear_and_carry(void *self)
{
    struct nbssgd_worker *k = self;
    if (k->under_way && ps_pull_ready(k->ps))
        nbssgd_land(k);
    if (k->dropped)
        return NODE_INTERRUPTED;
    if (signals_heard(&k->signals) && !k->under_way && !k->n->stop)
        nbssgd_exchange(k, k->spare);
    return k->n->stop ? NODE_INTERRUPTED : NODE_CONTINUE;
}

/* One mini-batch, and what becomes of it. */
static void advance(struct nbssgd_worker *k)
{
    struct node *n = k->n;
    int64_t began_at = n->version;
    k->landed = false;
    bool done = node_minibatch(n) == NODE_CONTINUE;
    if (k->under_way)
        nbssgd_land(k);
    if (k->landed) {
        float *w = n->w;
        n->w = k->spare;
        k->spare = w;
        node_weights_changed(n);
    }
    if (k->dropped)
        done = false;
    nbssgd_take_back(k);
    if (!done)
        return;
    k->position++;
    n->staleness = n->version - began_at > n->staleness ? n->version - began_at : n->staleness;
    if (k->local) {
        node_step(n, k->local, n->w, n->sum, n->lr);
        node_weights_changed(n);
        k->steps++;
        n->finished = 0;
    }
}

void nbssgd_work(struct node *n)
{
    struct nbssgd_worker k = nbssgd_open(n);
    node_keep(n, "worker.position", STATE_I64, &k.position, 1);
    nbssgd_pull(&k, n->w);
    nbssgd_land(&k);
    if (!k.finishes)
        node_set_interrupt(n, k.spare ? hear_and_carry : hear_and_abort, &k,
                           (struct request *const *[]){&k.signals.posted, ps_pending_pull(k.ps)},
                           2);
    while (!n->stop && !node_departs(n)) {
        while (k.position < n->context->minibatches && !signals_heard(&k.signals) && !n->stop) {
            if (k.early && k.position == n->context->minibatches - 1)
                ps_stream_next(k.ps);
            advance(&k);
        }
        if (n->stop)
            break;
        if (k.position >= n->context->minibatches) {
            if (!signals_heard(&k.signals))
                signals_send(&k.signals);
            k.position = 0;
        }
        nbssgd_exchange(&k, n->w);
        nbssgd_land(&k);
        nbssgd_take_back(&k);
    }
    node_set_interrupt(n, NULL, NULL, NULL, 0);
    n->finished += k.steps;
    node_discard(n); /* what the end met before it was pushed */
    nbssgd_close(&k);
}
