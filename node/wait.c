/* How a rank waits: for messages, through delays, in pauses, and never for ever on somebody who is
 * gone.
 *
 * Servers speak first when a rank falls silent, so that rank 0 can say what is kept before the
 * launcher ends everybody. */
#include <math.h>

#include "base/check.h"
#include "node/private.h"

static const double look_every_s = 1.0, grace_s = 5.0;
static const double ask_every_s = 50e-6;
static const double instant_s = 1e-9; /* sums of times differ by less */

void node_pause_point(struct node *n)
{
    struct node_private *own = n->own;
    if (own->pause && net_wait(n->net, &own->pause, 1, 0) == 0) {
        own->pause_version = net_header(own->pause)->version;
        own->called = true;
        net_release(n->net, own->pause);
        own->pause = net_recv(n->net, 0, TAG_PAUSE, NULL, 0);
    }
    if (own->called && (n->worker >= 0 || n->version >= own->pause_version)) {
        own->called = false;
        node_join_evaluation(n);
    }
}

bool node_sleep(struct node *n, double seconds)
{
    double end = net_now(n->net) + seconds, now;
    while ((now = net_now(n->net)) < end) {
        struct request *list[2] = {n->own->pause, n->own->wake ? *n->own->wake : NULL};
        net_wait(n->net, list, 2, fmin(end, now + fmax(n->own->limit_s - node_clock(n), 0)));
        n->counters.delay_s += net_now(n->net) - now;
        double stood = n->own->paused_s;
        node_pause_point(n);
        end += n->own->paused_s - stood;
        if (node_interrupted(n))
            return false;
    }
    return true;
}

void node_set_interrupt(struct node *n, bool (*hear)(void *), void *self,
                        struct request *const *wake)
{
    n->own->hear = hear;
    n->own->self = self;
    n->own->wake = wake;
}

void node_set_deadline(struct node *n, double clock_s)
{
    n->own->limit_s = clock_s;
}

bool node_limited(const struct node *n, double now_s)
{
    return node_clock_at(n, now_s) >= n->own->limit_s - instant_s;
}

bool node_past_deadline(const struct node *n)
{
    return node_limited(n, net_now(n->net));
}

bool node_interrupted(struct node *n)
{
    return (n->own->hear && n->own->hear(n->own->self)) || node_past_deadline(n);
}

void node_mark_departed(struct node *n, int rank)
{
    n->own->gone[rank] = true;
}

/* A worker needs its servers and allocation_listener it waits for, a server needs everybody who has
 * not left. Beyond the deadline: seconds of silence, else 0. */
static double too_silent(const struct node *n, int rank, int peer)
{
    int needed = n->worker < 0 ? n->net->ranks : n->context->servers;
    if (rank == n->rank || n->own->gone[rank] || (rank >= needed && rank != peer))
        return 0;
    double silent = net_since_heard(n->net, rank);
    return silent > n->context->options->deadline + (n->rank == 0 ? 0 : grace_s) ? silent : 0;
}

/* All of them are named: one that dies may take others along, and which of them is met first says
 * nothing. */
static void look_for_silence(struct node *n, const char *what, int peer)
{
    char who[1000] = "", kept[160] = "";
    size_t used = 0;
    bool awaited = false;
    for (int r = 0; r < n->net->ranks && used < sizeof who; r++) {
        double silent = too_silent(n, r, peer);
        char how[64];
        if (silent <= 0)
            continue;
        snprintf(how, sizeof how, isinf(silent) ? "has died" : "gave no sign of life for %.0f s",
                 silent);
        used += (size_t)snprintf(who + used, sizeof who - used, "%srank %d on %s %s",
                                 used ? ", " : "", r, net_host(n->net, r), how);
        awaited |= r == peer;
        if (n->context->results)
            results_event(n->context->results, "silent", node_clock(n), "\"rank\": %d", r);
    }
    if (!used)
        return;
    if (n->context->results) {
        const struct evaluation *s = &n->own->evaluation;
        snprintf(kept, sizeof kept,
                 ". Kept: all rows, and the evaluation at %.1f s with top-1 %.2f %%", s->seconds,
                 s->top1);
    }
    die(EXIT_SILENT, "%s while it was waited for: %s%s%s", who, what, awaited ? " from it" : "",
        kept);
}

int node_wait(struct node *n, struct request **list, int count, double until_s, const char *what,
              int peer)
{
    double began = node_clock(n);
    int index;
    for (;;) {
        node_pause_point(n);
        list[0] = n->own->pause;
        double limit =
            n->net->virtual_time ? until_s : fmin(until_s, net_now(n->net) + look_every_s);
        index = net_wait(n->net, list, count, limit);
        if (index > 0 || (index < 0 && net_now(n->net) >= until_s))
            break;
        if (index < 0)
            look_for_silence(n, what, peer);
    }
    n->counters.wait_s += node_clock(n) - began;
    return index;
}

void node_wait_until(struct node *n, bool (*done)(void *self), void *self, const char *what)
{
    double began = node_clock(n), looked = net_now(n->net);
    while (!done(self)) {
        node_pause_point(n);
        net_wait(n->net, &n->own->pause, 1, net_now(n->net) + ask_every_s);
        if (n->net->virtual_time || net_now(n->net) - looked < look_every_s)
            continue;
        look_for_silence(n, what, NET_ANY);
        looked = net_now(n->net);
    }
    n->counters.wait_s += node_clock(n) - began;
}

void node_await(struct node *n, struct request *request, const char *what, int peer)
{
    while (request &&
           net_wait(n->net, &request, 1,
                    n->net->virtual_time ? INFINITY : net_now(n->net) + look_every_s) < 0)
        look_for_silence(n, what, peer);
}
