/* Plain SGD in one process: what the others are compared with.
 *
 *   w <- w - lr (1 / W B) sum over W workers' batches of B mini-batches of grad f(w)
 *
 * It draws the same samples in the same order as W workers would (--workers), sums in the same
 * order, and sends nothing. */
#include "scheme/scheme.h"

/* The joint batch's mean gradient, worker by worker, as the server would sum it. */
static void joint_gradient(struct node *n, float *total, struct update *u)
{
    int workers = n->context->workers;
    for (int i = 0; i < workers; i++) {
        node_select(n, i);
        node_clear(n);
        while (n->finished < n->context->minibatches)
            node_minibatch(n);
        const float *source[2] = {total, n->sum};
        const double scale[2] = {1, 1.0 / ((double)workers * n->context->minibatches)};
        node_sum(n, total, i ? source : source + 1, i ? scale : scale + 1, i ? 2 : 1, n->count);
        u->minibatches += n->finished;
        u->samples += n->finished * n->context->minibatch;
        u->loss += n->loss;
        node_count_loss(n, i, n->finished * n->context->minibatch, n->loss);
    }
}

static void work(struct node *n)
{
    struct optimizer *optimizer = node_optimizer(n, (struct range){0, n->count});
    float *total = node_vector(n, n->count);
    node_keep_optimizer(n, optimizer, "worker.optimizer");
    while (!n->stop) {
        struct update u = {.contributions = n->context->workers};
        joint_gradient(n, total, &u);
        node_step(n, optimizer, n->w, total, u.lr = node_lr(n));
        histogram_add(&n->counters.staleness, 0);
        node_updated(n, &u);
    }
    node_vector_free(n, total);
    optimizer_close(optimizer);
}

const struct scheme scheme_serial = {
    .name = "serial",
    .rule = "one process walks through all workers' batches: w -= lr x mean gradient",
    .paper = "Robbins, Monro 1951",
    .flags = SYNC | EXACT | BOUNDED | ALONE,
    .messages = "none",
    .floats = "0",
    .staleness = "0",
    .state = (const char *const[]){"worker.optimizer", NULL},
    .work = work,
};
