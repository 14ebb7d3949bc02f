/* The all-reduce of the world's library (MPI_Iallreduce), for comparison and for networks that it knows best.
 *
 * Rule: the library's. Cost: the library's, and one pass for the scale. All workers meet when it is opened, so that the first call, in
 * which the library looks for no silence, waits for nobody who is not on his way. It is polled with naps in between. */
#include <math.h>

#include "collective/kinds.h"

static void tell(struct collective *c, int worker)
{
    const struct mail head = {.tag = TAG_REDUCE};
    net_send(c->n->net, collective_rank(c, worker), &head, NULL, 0);
}

static void hear(struct collective *c, int worker)
{
    struct request *come = net_recv(c->n->net, collective_rank(c, worker), TAG_REDUCE, NULL, 0);
    collective_take(c, come, worker, 0);
    net_drop(c->n->net, come);
}

/* A star over the first worker: two heads each. */
static void meet(struct collective *c)
{
    if (c->worker > 0) {
        tell(c, 0);
        hear(c, 0);
        return;
    }
    for (int i = 1; i < c->workers; i++)
        hear(c, i);
    for (int i = 1; i < c->workers; i++)
        tell(c, i);
}

static void open(struct collective *c)
{
    meet(c);
}

static void close(struct collective *c)
{
    (void)c;
}

static void sum(struct collective *c, float *vector, double scale)
{
    const float *const only = vector;
    struct request *list[2] = {NULL, net_sum(c->n->net, collective_rank(c, 0), vector, c->count)};
    node_wait(c->n, list, 2, INFINITY, "the library's sum", NET_ANY);
    net_drop(c->n->net, list[1]);
    if (scale != 1)
        collective_add(c, vector, &only, &scale, 1, c->count);
}

const struct method method_vendor = {"vendor", open, close, sum};
