/* Non-blocking synchronous SGD: the first to finish its batch signals, every worker pushes what it
 * has at once, and no worker waits for the slowest.
 *
 *   w(v+1) = w(v) - lr (sum of the gradients at w(v) of all mini-batches finished in version v)
 *            / (their number, or another divisor: nbssgd_weigh.c)
 *
 * Cost of a version: one push and one pull of n floats for each worker, and W - 1 signals without
 * payload from the one that finishes first. Staleness 0, except with --nb-inflight carry (an
 * interrupted mini-batch counts in the version it ends in) and --nb-server racing. He, Dube 2022,
 * arXiv:2211.00889; the choices that the paper leaves open are the options --nb-*
 * (nbssgd_options.c).
 *
 * A racing server takes each push as an update of its own, by the same formula: with gradients it
 * is asgd whose batches vary. Pushed weights (local SGD) move it alike: it adds the way that they
 * went since they came. So with one mini-batch a batch both payloads are one scheme. Versions then
 * differ between workers; a signal's round is a logical clock, which each exchange moves past the
 * newest signal heard. Otherwise it is the version. */
#include "scheme/nbssgd.h"

#include <string.h>

#include "parameter_server/parameter_server.h"
#include "signals/signals.h"

struct worker {
    struct node *n;
    struct ps_client *ps;
    struct signals signals;
    int64_t position;        /* mini-batches of its own batch that are done */
    int64_t steps;           /* weights: local steps of this version */
    struct optimizer *local; /* weights: what takes them */
    float *spare;           /* carry: where the next weights land while a mini-batch is under way */
    float *start;           /* weights, racing: as they came; then the way that they went */
    const float *into;      /* where the next weights land */
    bool under_way, landed; /* carry: an exchange is; its weights lie in spare */
    /* early: nothing can come between its batch's last mini-batch and the push */
    bool racing, reset, finishes, early;
};

static bool is(const char *option, const char *value)
{
    return !strcmp(option, value);
}

/* What is pushed: the sum of gradients; weights; or how far they went since they came, which a
 * racing server adds. */
static const float *payload(struct worker *k)
{
    struct node *n = k->n;
    if (!k->start)
        return k->local ? n->w : n->sum;
    if (k->steps)
        node_sum(n, k->start, (const float *const[]){n->w, k->start}, (double[]){1, -1}, 2,
                 n->count);
    return k->start;
}

/* Pushes what is finished and asks for the next weights. */
static void exchange(struct worker *k, float *into)
{
    struct node *n = k->n;
    n->finished += k->steps;
    ps_push(k->ps, payload(k));
    ps_pull(k->ps, into);
    k->into = into;
    node_clear(n);
    k->steps = 0;
    k->under_way = true;
}

/* Waits for the next weights, if they have not come yet: a new version begins. */
static void land(struct worker *k)
{
    struct signals *s = &k->signals;
    ps_wait(k->ps);
    k->under_way = false;
    k->landed = true;
    if (k->start)
        node_copy(k->n, k->start, k->into, k->n->count);
    s->round = !k->racing ? k->n->version : (s->newest > s->round ? s->newest : s->round) + 1;
    if (k->reset)
        k->position = 0;
}

static enum node_flow hear_and_abort(void *self)
{
    struct worker *k = self;
    return signals_heard(&k->signals) ? NODE_INTERRUPTED : NODE_CONTINUE;
}

/* Between two units of a mini-batch that goes on whatever comes: exchanges start and end under
 * it. */
static enum node_flow hear_and_carry(void *self)
{
    struct worker *k = self;
    if (k->under_way && ps_pull_ready(k->ps))
        land(k);
    if (signals_heard(&k->signals) && !k->under_way && !k->n->stop)
        exchange(k, k->spare);
    return k->n->stop ? NODE_INTERRUPTED : NODE_CONTINUE;
}

/* One mini-batch, and what becomes of it. */
static void advance(struct worker *k)
{
    struct node *n = k->n;
    int64_t began_at = n->version;
    k->landed = false;
    bool done = node_minibatch(n) == NODE_CONTINUE;
    if (k->under_way)
        land(k);
    if (k->landed) {
        float *w = n->w;
        n->w = k->spare;
        k->spare = w;
        node_weights_changed(n);
    }
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

static struct worker open_worker(struct node *n)
{
    const struct nbssgd_options *o = options_of(n->context->options, &nbssgd_option_set);
    struct worker k = {
        .n = n, .racing = is(o->nb_server, "racing"), .reset = is(o->nb_batch, "reset")};
    k.signals = signals_open(n, is(o->nb_signal, "relay"));
    if (is(o->nb_payload, "weights"))
        k.local = node_optimizer(n, (struct range){0, n->count});
    if (k.local && k.racing)
        k.start = net_alloc(n->net, (size_t)n->count * sizeof(float));
    if (is(o->nb_inflight, "carry"))
        k.spare = net_alloc(n->net, (size_t)n->count * sizeof(float));
    k.finishes = is(o->nb_inflight, "finish");
    k.early = k.finishes && !k.local;
    k.ps = ps_client_open(n);
    return k;
}

static void close_worker(struct worker *k)
{
    signals_close(&k->signals, ps_depart(k->ps, k->signals.sent));
    net_free(k->n->net, k->spare);
    net_free(k->n->net, k->start);
    if (k->local)
        optimizer_close(k->local);
    ps_client_close(k->ps);
}

void nbssgd_work(struct node *n)
{
    struct worker k = open_worker(n);
    ps_pull(k.ps, n->w);
    k.into = n->w;
    land(&k);
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
        exchange(&k, n->w);
        land(&k);
    }
    node_set_interrupt(n, NULL, NULL, NULL, 0);
    close_worker(&k);
}
