/* The training clock, and simulated time that vector work takes.
 *
 * The clock is net_now() less the time for which it was stopped. It is stopped while ranks
 * evaluate. */
#include "node/private.h"

static const double instant_s = 1e-9; /* sums of times differ by less */

double node_clock_at(const struct node *n, double now_s)
{
    return now_s - n->own->clock.started_s - n->own->clock.stopped_s;
}

double node_clock(const struct node *n)
{
    return node_clock_at(n, net_now(n->net));
}

void node_set_deadline(struct node *n, double clock_s)
{
    n->own->clock.deadline_s = clock_s;
}

bool node_past_deadline_at(const struct node *n, double now_s)
{
    return node_clock_at(n, now_s) >= n->own->clock.deadline_s - instant_s;
}

bool node_past_deadline(const struct node *n)
{
    return node_past_deadline_at(n, net_now(n->net));
}

void node_advance_copy(struct node *n, int from, int64_t count)
{
    const struct machine *m = n->context->machine;
    double bandwidth = m ? machine_copy_bandwidth(m, from, n->rank) : 0;
    if (bandwidth > 0)
        net_advance(n->net, (double)count * sizeof(float) / bandwidth);
    else
        node_advance_vector(n, count, 2);
}

void node_advance_together(struct node *n, int64_t count, int vectors)
{
    const struct machine *m = n->context->machine;
    double bandwidth = m ? 2 * machine_copy_bandwidth(m, n->rank, n->rank) : 0;
    if (bandwidth > 0)
        net_advance(n->net, (double)count * sizeof(float) * vectors / bandwidth);
    else
        node_advance_vector(n, count, vectors);
}

void node_advance_vector(struct node *n, int64_t count, int vectors)
{
    const struct machine *m = n->context->machine;
    double bandwidth = m ? machine_vector_bandwidth(m) : 0; /* 0: vector work takes no time */
    if (n->net->virtual_time && bandwidth > 0)
        net_advance(n->net, (double)count * sizeof(float) * vectors / bandwidth);
}
