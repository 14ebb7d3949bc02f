/* The training clock: net_now() less the time for which it was stopped. It is stopped while ranks
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
