/* Who is lost: what ranks do, as they say it, and how long the others believe them.
 *
 * A heartbeat is a thread's, a step the program's. Neither alone would do: a rank that computes for
 * long in one call has a heart that beats, and a rank whose program is stuck has one, too. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "messaging/calls.h"

static const double grace_s = 5, look_every_s = 1;

double net_since_heard(struct net *net, int rank)
{
    assert(rank >= 0 && rank < net->ranks);
    return net->calls->watch.since_heard(net, rank);
}

struct net_vitals net_vitals(struct net *net, int rank)
{
    assert(rank >= 0 && rank < net->ranks);
    if (net->calls->watch.vitals)
        return net->calls->watch.vitals(net, rank);
    return (struct net_vitals){.silent_s = net_since_heard(net, rank)};
}

struct net_activity net_act(struct net *net, struct net_activity activity)
{
    struct net_activity before = net->activity;
    net->activity = activity;
    net_step(net);
    return before;
}

void net_step(struct net *net)
{
    if (net->calls->watch.step)
        net->calls->watch.step(net);
}

void net_set_absent(struct net *net, int rank, bool absent)
{
    if (net->calls->watch.set_absent)
        net->calls->watch.set_absent(net, rank, absent);
}

/* "mini-batch 12", "evaluation 3 of 79", "waits for a push" */
static void describe(const struct net_activity *a, char text[80])
{
    int used = snprintf(text, 80, "%s%.31s", a->pace == NET_WAITS ? "waits for " : "", a->what);
    if (a->number)
        used += snprintf(text + used, 80 - (size_t)used, " %lld", (long long)a->number);
    if (a->of)
        snprintf(text + used, 80 - (size_t)used, " of %lld", (long long)a->of);
}

static double limit_of(const struct net *net)
{
    return net->deadline_s + (net->rank == 0 ? 0 : grace_s);
}

static bool stands_still(const struct net *net, const struct net_vitals *v)
{
    double limit_s = limit_of(net);
    return (v->activity.pace == NET_STEPS && v->still_s > limit_s) ||
           (v->activity.pace == NET_BUSY && v->still_s > NET_BUSY_DEADLINES * limit_s);
}

/* A process that is stopped does neither: it beats no more, and its last step gets old. Then it is
 * its heart that is named. */
static bool is_silent(const struct net *net, const struct net_vitals *v)
{
    return v->silent_s > limit_of(net) || v->silent_s > v->still_s / 2;
}

bool net_vitals_are_lost(const struct net *net, const struct net_vitals *v)
{
    return isinf(v->silent_s) || v->silent_s > limit_of(net) || stands_still(net, v);
}

bool net_is_lost(struct net *net, int rank, char why[NET_WHY])
{
    if (rank == net->rank)
        return false;
    const struct net_vitals v = net_vitals(net, rank);
    char how[60], doing[80], process[40] = "";
    if (!net_vitals_are_lost(net, &v))
        return false;
    if (isinf(v.silent_s))
        snprintf(how, sizeof how, "has died");
    else if (is_silent(net, &v))
        snprintf(how, sizeof how, "sent no heartbeat for %.0f s", v.silent_s);
    else
        snprintf(how, sizeof how, "is alive but does not go on for %.0f s", v.still_s);
    describe(&v.activity, doing);
    if (v.process)
        snprintf(process, sizeof process, "process %lld", (long long)v.process);
    snprintf(why, NET_WHY, "rank %d on %s %s%s%s%s%s%s", rank, net_host(net, rank), how,
             *process || *doing ? " (" : "", process, *process && *doing ? ", " : "", doing,
             *process || *doing ? ")" : "");
    return true;
}

bool net_is_stuck(struct net *net, const bool *left_out, char why[2 * NET_WHY])
{
    size_t used = 0;
    double least_s = INFINITY;
    *why = '\0';
    for (int r = 0; r < net->ranks; r++) {
        const struct net_vitals v = net_vitals(net, r);
        char doing[80];
        if ((left_out && left_out[r]) || isinf(v.silent_s))
            continue;
        least_s = fmin(least_s, v.still_s);
        if (v.activity.pace != NET_WAITS || least_s <= limit_of(net))
            return false;
        describe(&v.activity, doing);
        if (used < 2 * NET_WHY)
            used += (size_t)snprintf(why + used, 2 * NET_WHY - used, "%srank %d on %s %s",
                                     used ? ", " : "", r, net_host(net, r), doing);
    }
    return used;
}

void net_await(struct net *net, struct request *request, int from, const char *what)
{
    struct net_activity waits = {.pace = NET_WAITS};
    char why[2 * NET_WHY];
    double began_s = net_now(net);
    strncpy(waits.what, what, sizeof waits.what - 1);
    struct net_activity before = net_act(net, waits);
    /* Time that is a number is waited out in one piece where nobody can be lost: there a wait that
     * never ends is found, and a look every second would hide it. */
    while (net_wait(net, &request, 1,
                    isinf(net->deadline_s) && net->virtual_time
                        ? INFINITY
                        : net_now(net) + look_every_s) < 0) {
        if (net_is_lost(net, from, why))
            die(EXIT_SILENT, "%s; this rank has waited %.0f s for %s", why, net_now(net) - began_s,
                what);
        if (net_is_stuck(net, NULL, why))
            die(EXIT_SILENT, "no rank goes on: %s; this rank has waited %.0f s for %s", why,
                net_now(net) - began_s, what);
    }
    net_act(net, before);
}
