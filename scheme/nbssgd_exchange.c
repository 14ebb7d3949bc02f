/* What a worker of nbssgd sends and gets: a push, the next weights, and whether the push was
 * dropped. */
#include <string.h>

#include "scheme/nbssgd.h"

static bool is(const char *option, const char *value)
{
    return !strcmp(option, value);
}

struct nbssgd_worker nbssgd_open(struct node *n)
{
    const struct nbssgd_options *o = options_of(n->context->options, &nbssgd_option_set);
    struct nbssgd_worker k = {
        .n = n, .racing = is(o->nb_server, "racing"), .reset = is(o->nb_batch, "reset")};
    k.signals = signals_open(n, is(o->nb_signal, "relay"));
    if (is(o->nb_payload, "weights"))
        k.local = node_optimizer(n, (struct range){0, n->count});
    node_keep_optimizer(n, k.local, "worker.optimizer");
    if (k.local && k.racing)
        k.start = net_alloc(n->net, (size_t)n->count * sizeof(float));
    if (is(o->nb_inflight, "carry"))
        k.spare = net_alloc(n->net, (size_t)n->count * sizeof(float));
    k.finishes = is(o->nb_inflight, "finish");
    k.early = k.finishes && !k.local;
    k.ps = ps_client_open(n);
    return k;
}

void nbssgd_close(struct nbssgd_worker *k)
{
    signals_close(&k->signals, ps_depart(k->ps, k->signals.sent));
    net_free(k->n->net, k->spare);
    net_free(k->n->net, k->start);
    if (k->local)
        optimizer_close(k->local);
    ps_client_close(k->ps);
}

void nbssgd_pull(struct nbssgd_worker *k, float *into)
{
    ps_pull(k->ps, into);
    k->into = into;
}

/* What is pushed: the sum of gradients; weights; or how far they went since they came, which a
 * racing server adds. */
static const float *payload(struct nbssgd_worker *k)
{
    struct node *n = k->n;
    if (!k->start)
        return k->local ? n->w : n->sum;
    if (k->steps)
        node_sum(n, k->start, (const float *const[]){n->w, k->start}, (double[]){1, -1}, 2,
                 n->count);
    return k->start;
}

void nbssgd_exchange(struct nbssgd_worker *k, float *into)
{
    struct node *n = k->n;
    n->finished += k->steps;
    ps_push(k->ps, payload(k));
    nbssgd_pull(k, into);
    node_clear(n);
    k->steps = 0;
    k->under_way = true;
}

void nbssgd_land(struct nbssgd_worker *k)
{
    struct signals *s = &k->signals;
    ps_wait(k->ps);
    k->under_way = false;
    k->landed = true;
    k->dropped = ps_dropped(k->ps);
    if (k->start)
        node_copy(k->n, k->start, k->into, k->n->count);
    s->round = !k->racing ? k->n->version : (s->newest > s->round ? s->newest : s->round) + 1;
    if (k->reset)
        k->position = 0;
}

void nbssgd_take_back(struct nbssgd_worker *k)
{
    if (!k->dropped)
        return;
    k->dropped = false;
    int64_t again = node_redo(k->n);
    k->position -= k->reset ? 0 : again;
    if (k->position < 0) /* it had ended its batch */
        k->position += k->n->context->minibatches;
}
