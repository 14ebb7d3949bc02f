/* The training clock: net_now() less the time for which it was stopped. It is stopped while ranks
 * evaluate. */
#include <math.h>

#include "node/private.h"

static const double instant_s = 1e-9; /* sums of times differ by less */

double node_clock_at(const struct node *n, double now_s)
{
    return now_s - n->own->clock.started_s - n->own->clock.stopped_s;
}

void clock_stopped(struct node *n, double began_s, double seconds)
{
    struct training_clock *c = &n->own->clock;
    c->stop[c->stops++ % STOPS] = (struct stop){.began_s = began_s, .before_s = c->stopped_s};
    c->stopped_s += seconds;
    trace_stopped(n, began_s, seconds);
}

double node_clock_then(const struct node *n, double net_s)
{
    const struct training_clock *c = &n->own->clock;
    double stopped_s = c->stopped_s;
    for (int i = c->stops - 1; i >= 0 && i >= c->stops - STOPS; i--) {
        const struct stop *stop = &c->stop[i % STOPS];
        double next_s = stopped_s;
        stopped_s = stop->before_s;
        if (net_s > stop->began_s) /* in this stop, or after it */
            return fmax(net_s - next_s, stop->began_s - stopped_s) - c->started_s;
    }
    return net_s - stopped_s - c->started_s;
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
