/* The all-reduce of the world's library (MPI_Iallreduce), for comparison and for networks that it
 * knows best.
 *
 * Rule: the library's. Cost: the library's, and one pass for the scale. All workers meet when it is
 * opened, and make a first sum at once: in that call the library gathers its ranks, hears no pause
 * and looks for no silence, so it must wait for nobody that comes late. It is polled with
 * naps in between. Where the library takes memory of a GPU and a GPU computes, the vector goes
 * there, is summed there (no copy through the host's memory between hosts, and the GPU adds), and
 * comes back: n floats more each way over the bus. */
#include <math.h>
#include <stdio.h>

#include "collective/kinds.h"
#include "backend/backend.h"

static bool fits(struct collective *c, char *why, size_t size)
{
    snprintf(why, size, "%s has no all-reduce of its own", c->n->net->world);
    return net_can_sum(c->n->net);
}

static void close(struct collective *c)
{
    if (c->own)
        c->n->context->problem->device_buffer->close(c->own);
    c->own = NULL;
}

static bool reached(void *self)
{
    struct collective *c = self;
    return c->n->context->problem->device_buffer->is_done(c->own);
}

static void sum_at(struct collective *c, float *vector, int64_t count)
{
    struct request *list[2] = {NULL, net_sum(c->n->net, collective_rank(c, 0), vector, count)};
    node_wait(c->n, list, 2, INFINITY, "the library's sum", NET_ANY);
    net_release(c->n->net, list[1]);
}

/* c->own is the device buffer; NULL: the sum is made where the vector lies. The first sum is of
 * nothing, at once: see above. */
static void open(struct collective *c)
{
    const struct device_buffer_kind *kind = c->n->context->problem->device_buffer;
    float *nothing = net_alloc(c->n->net, sizeof *nothing);
    if (kind && c->n->net->gpu_aware)
        c->own = kind->open(c->n->net->local_rank, c->count);
    collective_meet(c);
    if (c->workers > 1)
        sum_at(c, nothing, 1);
    net_free(c->n->net, nothing);
}

static void sum(struct collective *c, float *vector, double scale)
{
    const struct device_buffer_kind *kind = c->n->context->problem->device_buffer;
    const float *const only = vector;
    if (c->own) {
        kind->upload(c->own, vector, 0, c->count);
        node_wait_until(c->n, reached, c, "a vector to be uploaded");
        sum_at(c, kind->data(c->own), c->count);
        kind->download(c->own, vector, 0, c->count);
        node_wait_until(c->n, reached, c, "the sum to be downloaded");
    } else {
        sum_at(c, vector, c->count);
    }
    if (scale != 1)
        collective_add(c, vector, &only, &scale, 1, c->count);
}

const struct method method_vendor = {
    .name = "vendor",
    .summary = "the all-reduce of the world's library",
    .fits = fits,
    .open = open,
    .close = close,
    .sum = sum,
};
