#include "scheme/push_sum.h"

#include <math.h>

#include "base/check.h"

struct push_sum push_sum_open(struct node *n, float **vectors, int room, bool *training)
{
    struct push_sum k = {.n = n,
                         .ps = ps_client_open(n),
                         .neighbours = gossip_open(n, n->count),
                         .optimizer = node_optimizer(n, (struct range){0, n->count}),
                         .weight = 1};
    for (int i = 0; i < room; i++)
        vectors[i] = net_alloc(n->net, (size_t)n->count * sizeof *vectors[i]);
    k.x = vectors[0];
    ps_pull(k.ps, n->w);
    *training = ps_wait(k.ps);
    node_copy(n, k.x, n->w, n->count);
    return k;
}

void push_sum_close(struct push_sum *k, float *const *vectors, int room)
{
    gossip_close(k->neighbours);
    for (int i = 0; i < room; i++)
        net_free(k->n->net, vectors[i]);
    optimizer_close(k->optimizer);
    ps_client_close(k->ps);
}

void push_sum_keep(struct push_sum *k)
{
    struct node *n = k->n;
    node_keep_vector(n, "worker.weights", &n->w, n->count);
    node_keep_vector(n, "worker.x", &k->x, n->count);
    node_keep(n, "worker.push_sum", STATE_F64, &k->weight, 1);
    node_keep_optimizer(n, k->optimizer, "worker.optimizer");
    if (node_workers_before(n)) {
        node_copy(n, k->x, n->w, n->count);
        k->weight = 1;
    }
    node_weights_changed(n);
}

void push_sum_step(struct push_sum *k)
{
    struct node *n = k->n;
    const double mean = 1.0 / n->context->minibatches;
    node_batch(n);
    node_step_sum(n, k->optimizer, k->x, (const float *const[]){n->sum}, &mean, 1, n->lr);
}

bool push_sum_report(struct push_sum *k)
{
    struct node *n = k->n;
    CHECK(isfinite(k->weight) && k->weight > 0, "worker %d has a push-sum weight of %g", n->worker,
          k->weight);
    node_sum(n, n->w, (const float *const[]){k->x}, (const double[]){1 / k->weight}, 1, n->count);
    node_weights_changed(n);
    ps_report(k->ps, n->w);
    ps_pull(k->ps, n->w);
    return ps_wait(k->ps);
}
