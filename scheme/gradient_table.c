/* Sums of gradients by worker. */
#include "scheme/gradient_table.h"

#include <string.h>

#include "base/alloc.h"

struct gradient_table gradient_table_open(struct node *n, struct range slice)
{
    size_t workers = (size_t)n->context->workers;
    struct gradient_table t = {.n = n, .floats = slice.to - slice.from};
    t.sum = xcalloc(workers, sizeof *t.sum);
    t.count = xcalloc(workers, sizeof *t.count);
    for (size_t i = 0; i < workers; i++)
        t.sum[i] = node_vector(n, t.floats);
    return t;
}

void gradient_table_close(struct gradient_table *t)
{
    for (int i = 0; i < t->n->context->workers; i++)
        node_vector_free(t->n, t->sum[i]);
    xfree(t->sum);
    xfree(t->count);
}

void gradient_table_keep(struct gradient_table *t, const char *name)
{
    char text[STATE_NAME];
    int workers = t->n->context->workers;
    node_keep(t->n, name, STATE_I64, t->count, workers);
    for (int i = 0; i < workers; i++) {
        snprintf(text, sizeof text, "%s/%d", name, i);
        node_keep(t->n, text, STATE_F32, t->sum[i], t->floats);
    }
}

void gradient_table_clear(struct gradient_table *t)
{
    memset(t->count, 0, (size_t)t->n->context->workers * sizeof *t->count);
}

void gradient_table_add(struct gradient_table *t, int worker, const float *sum, int64_t minibatches)
{
    (t->count[worker] ? node_add : node_copy)(t->n, t->sum[worker], sum, t->floats);
    t->count[worker] += minibatches;
}

int gradient_table_entries(const struct gradient_table *t)
{
    int entries = 0;
    for (int i = 0; i < t->n->context->workers; i++)
        entries += t->count[i] > 0;
    return entries;
}

int gradient_table_mean(const struct gradient_table *t, const float **source, double *scale)
{
    int entries = gradient_table_entries(t), listed = 0;
    for (int i = 0; i < t->n->context->workers; i++)
        if (t->count[i]) {
            source[listed] = t->sum[i];
            scale[listed++] = 1.0 / ((double)entries * (double)t->count[i]);
        }
    return entries;
}
