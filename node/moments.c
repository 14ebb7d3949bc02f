/* Moments at which --eval-seconds evaluates: k S on the training clock, k = 1, 2, ..
 *
 * Rank 0's waits end there (node/control.c), so the weights are those that hold at the moment, and
 * no scheme is aware of it. What rank 0 is doing then ends first: an update under way makes the
 * version that is judged, and its row has the later time. A moment after the last update is none.
 * Where several servers make versions in step, a moment between two of them has no weights of one
 * version: the first version made after it is judged, and the row has that version's time. */
#include <math.h>

#include "node/private.h"

static const double instant_s = 1e-9; /* sums of times differ by less */

double moments_of(const struct node *n, int64_t k)
{
    return k ? (double)k * n->context->options->eval_seconds : INFINITY;
}

static bool keep_in_step(const struct node *n)
{
    return n->context->servers > 1 && !n->races && n->net->ranks > 1;
}

static bool is_past(const struct node *n)
{
    return !n->stop && node_clock(n) >= moments_of(n, n->own->evaluator.moments.next) - instant_s;
}

bool moment_has_come(const struct node *n)
{
    return !keep_in_step(n) && is_past(n);
}

bool moment_makes_version_due(const struct node *n)
{
    return keep_in_step(n) && is_past(n);
}

double moment_at_s(const struct node *n)
{
    if (keep_in_step(n) || n->stop)
        return INFINITY;
    return net_now(n->net) + fmax(moments_of(n, n->own->evaluator.moments.next) - node_clock(n), 0);
}

int moments_due(const struct node *n)
{
    double now_s = node_clock(n) + instant_s;
    int due = 0;
    while (!n->stop && n->own->evaluator.moments.next &&
           moments_of(n, n->own->evaluator.moments.next + due) <= now_s)
        due++;
    return due;
}
