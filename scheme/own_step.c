#include "scheme/own_step.h"

#include "base/alloc.h"

struct own_step own_step_open(const struct node *n)
{
    return (struct own_step){.optimizer = node_optimizer(n, (struct range){0, n->count}),
                             .before = xcalloc((size_t)n->count, sizeof(float))};
}

void own_step_close(struct own_step *s)
{
    optimizer_close(s->optimizer);
    xfree(s->before);
}

void own_step_move(struct own_step *s, struct node *n, double part, float *move, bool sums)
{
    const float *sum = n->sum, *const all[] = {n->w, s->before, move};
    const double mean = 1.0 / n->context->minibatches;
    node_copy(n, s->before, n->w, n->count);
    node_step_sum(n, s->optimizer, n->w, &sum, &mean, 1, n->lr);
    if (part < 1)
        node_sum(n, n->w, all, (double[]){part, 1 - part}, 2, n->count);
    node_sum(n, move, all, (double[]){1, -1, 1}, sums ? 3 : 2, n->count);
    node_weights_changed(n);
}
