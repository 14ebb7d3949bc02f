/* Every worker sums one slice and all copy it.
 *
 * Rule: worker i borrows slice i of everybody's vector, adds in worker order, and lends the sum to
 * all, who copy it. Within a host slices are read where they lie. Cost: two heads to and from each
 * other worker, two latencies; between hosts 2 (W - 1)/W n floats in and as many out; in memory n
 * floats read and n/W written, then (W - 1)/W n copied. Reduce-scatter and all-gather with all
 * peers at once: a parameter server in slices (Li et al. 2014) whose servers are the workers. */
#include <math.h>

#include "base/alloc.h"
#include "collective/kinds.h"

struct direct {
    struct request **part, **part_sent, **whole_sent; /* [workers] */
    struct request **whole;                           /* [1 + workers], the first one the node's */
    const float **source;
    double *scale;
};

static void open(struct collective *c)
{
    struct direct *d = c->own = xcalloc(1, sizeof *d);
    size_t workers = (size_t)c->workers;
    d->part = xcalloc(workers, sizeof *d->part);
    d->part_sent = xcalloc(workers, sizeof *d->part_sent);
    d->whole = xcalloc(1 + workers, sizeof *d->whole);
    d->whole_sent = xcalloc(workers, sizeof *d->whole_sent);
    d->source = xcalloc(workers, sizeof *d->source);
    d->scale = xcalloc(workers, sizeof *d->scale);
}

static void close(struct collective *c)
{
    struct direct *d = c->own;
    void *blocks[] = {d->part, d->part_sent, d->whole, d->whole_sent, d->source, d->scale};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        xfree(blocks[i]);
}

/* Lends each worker its slice of this vector. Each begins with another one, so that not all ask the
 * same. */
static void lend_slices(struct collective *c, const float *vector)
{
    struct direct *d = c->own;
    for (int k = 1; k < c->workers; k++) {
        int i = (c->worker + k) % c->workers, rank = collective_rank(c, i);
        d->part[i] = net_recv(c->n->net, rank, TAG_REDUCE, NULL, 0);
        d->whole[1 + i] = net_recv(c->n->net, rank, TAG_GATHER, NULL, 0);
        d->part_sent[i] = collective_send(c, i, TAG_REDUCE, vector, collective_slice(c, i));
    }
}

static void sum_own_slice(struct collective *c, float *vector, double scale)
{
    struct direct *d = c->own;
    struct range at = collective_slice(c, c->worker);
    for (int i = 0; i < c->workers; i++) {
        d->source[i] =
            i == c->worker ? vector + at.from : collective_take(c, d->part[i], i, at.to - at.from);
        d->scale[i] = scale;
    }
    collective_add(c, vector + at.from, d->source, d->scale, c->workers, at.to - at.from);
    for (int k = 1; k < c->workers; k++) {
        int i = (c->worker + k) % c->workers;
        net_release(c->n->net, d->part[i]);
        d->whole_sent[i] = collective_send(c, i, TAG_GATHER, vector, at);
    }
}

/* As they come. A worker has given back what it had borrowed of this slice before it sent its
 * sum. */
static void copy_other_slices(struct collective *c, float *vector)
{
    struct direct *d = c->own;
    for (int left = c->workers - 1; left > 0; left--) {
        int i =
            node_wait(c->n, d->whole, 1 + c->workers, INFINITY, "its part of a sum", NET_ANY) - 1;
        struct range at = collective_slice(c, i);
        const float *slice = collective_take(c, d->whole[1 + i], i, at.to - at.from);
        collective_done(c, &d->part_sent[i], i);
        collective_copy(c, vector + at.from, slice, at.to - at.from);
        net_release(c->n->net, d->whole[1 + i]);
        d->whole[1 + i] = NULL;
    }
}

static void sum(struct collective *c, float *vector, double scale)
{
    struct direct *d = c->own;
    lend_slices(c, vector);
    sum_own_slice(c, vector, scale);
    copy_other_slices(c, vector);
    for (int i = 0; i < c->workers; i++)
        collective_done(c, &d->whole_sent[i], i);
}

const struct method method_direct = {"direct", NULL, open, close, sum, NULL};
