#include "scheme/own_step.h"

struct own_step own_step_open(struct node *n)
{
    struct own_step s = {.optimizer = node_optimizer(n, (struct range){0, n->count}),
                         .before = node_vector(n, n->count)};
    node_hear_end(n);
    node_keep_optimizer(n, s.optimizer, "worker.optimizer");
    return s;
}

void own_step_close(struct own_step *s, struct node *n)
{
    optimizer_close(s->optimizer);
    node_vector_free(n, s->before);
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
