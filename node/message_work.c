/* Core time that messages between hosts take, on the virtual clock.
 *
 * A rank that computes moves its own messages between two units, and is later by that. One that
 * waits moves them meanwhile; where the ranks of its machine want all cores, it takes the time from
 * those that compute. On one host messages need no work (messaging/mpi/segment.c). */
#include <math.h>

#include "node/private.h"

/* Core seconds of what has moved since the last look. */
static double moved_s(struct node *n)
{
    struct message_work *m = &n->own->message_work;
    int64_t bytes = n->net->moved_bytes - m->moved_bytes;
    m->moved_bytes += bytes;
    return (double)bytes * machine_message_core_s(n->context->machine);
}

void message_work_waited(struct node *n)
{
    const struct run_context *s = n->context;
    if (!s->machine)
        return;
    double core_s = moved_s(n);
    int host = machine_host(s->machine, n->rank);
    if (core_s > 0 && s->computing && computing_demand(n) >= 1)
        s->taken_s[host] += core_s / machine_cores(s->machine);
}

void message_work_begin(struct node *n)
{
    const struct run_context *s = n->context;
    if (s->taken_s)
        n->own->message_work.taken_s = s->taken_s[machine_host(s->machine, n->rank)];
}

double message_work_s(struct node *n)
{
    const struct run_context *s = n->context;
    struct message_work *m = &n->own->message_work;
    if (!s->machine)
        return 0;
    double seconds = moved_s(n);
    if (s->computing) {
        int host = machine_host(s->machine, n->rank);
        seconds *= fmax(1, computing_demand(n));
        seconds += s->taken_s[host] - m->taken_s;
        m->taken_s = s->taken_s[host];
    }
    return seconds;
}
