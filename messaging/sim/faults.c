/* Ranks of the simulated world that stop, and links that are down.
 *
 * Rule: an outage is an event. A stopped rank is not resumed; what the network does for it goes on,
 * so messages reach it and those that it has sent arrive. What it computes takes as much longer as
 * it was stopped: it looks up after the unit that was under way. A wait ends when it would have, or
 * with the outage. A link that is down holds back what sets out, in the order of its lane.
 *
 * Cost: a comparison for each resumption and each message. */
#include <math.h>

#include "messaging/sim/sim.h"

struct planned {
    struct event event;
    struct rank *rank;
    double for_s;
};

static void plan(struct rank *rank, int kind, double at_s, double for_s)
{
    struct sim *sim = rank->sim;
    struct planned *p = slabs_take(&sim->slabs, sizeof *p);
    *p = (struct planned){.event.kind = kind, .rank = rank, .for_s = for_s};
    event_queue_put(&sim->events, &p->event, fmax(at_s, sim->events.now_s));
}

void sim_stop(struct net *net, double at_s, double for_s)
{
    plan(net->self, STOP, at_s, for_s);
}

void sim_cut(struct net *net, double at_s, double for_s)
{
    plan(net->self, CUT, at_s, for_s);
}

/* Seconds for which it lasts yet. */
static double left_s(const struct sim *sim, const struct outage *o)
{
    return fmax(o->until_s - sim->events.now_s, 0);
}

void sim_outage_event(struct sim *sim, struct event *event)
{
    const struct planned *p = container_of(struct planned, event, event);
    struct rank *rank = p->rank;
    struct outage *o = event->kind == STOP ? &rank->stopped : &rank->cut;
    double now_s = sim->events.now_s, left = left_s(sim, o);
    if (rank->returned || p->for_s <= left)
        return;
    *o = (struct outage){left > 0 ? o->since_s : now_s, now_s + p->for_s};
    if (event->kind == STOP)
        sim_postpone(rank, p->for_s - left);
}

bool sim_is_stopped(const struct sim *sim, const struct rank *rank)
{
    return left_s(sim, &rank->stopped) > 0;
}

bool sim_is_dead(const struct rank *rank)
{
    return isinf(rank->stopped.until_s);
}

bool sim_is_lost(const struct sim *sim, int rank)
{
    return sim->absent[rank] || sim_is_dead(&sim->ranks[rank]);
}

void sim_set_absent(struct net *net, int rank, bool absent)
{
    ((struct rank *)net->self)->sim->absent[rank] = absent;
}

void sim_end_lost(struct sim *sim)
{
    for (int i = 1; i < sim->options.ranks; i++) {
        struct rank *rank = &sim->ranks[i];
        if (!rank->returned && (sim->absent[i] || sim_is_stopped(sim, rank)))
            rank->stopped.until_s = INFINITY;
    }
}

/* The outage of the link between them that lasts longest; within a host there is none. */
static const struct outage *cut_between(const struct sim *sim, int a, int b)
{
    static const struct outage none = {0};
    const struct outage *first = &sim->ranks[a].cut, *second = &sim->ranks[b].cut;
    if (sim_host_of(sim, a) == sim_host_of(sim, b))
        return &none;
    return first->until_s > second->until_s ? first : second;
}

double sim_cut_s(const struct sim *sim, int from, int to)
{
    return left_s(sim, cut_between(sim, from, to));
}

double sim_since_heard(struct net *net, int rank)
{
    const struct sim *sim = ((struct rank *)net->self)->sim;
    const struct rank *of = &sim->ranks[rank];
    const struct outage *cut = cut_between(sim, net->rank, rank);
    double now_s = sim->events.now_s, silent_s = 0;
    if (sim_is_dead(of))
        return INFINITY;
    if (sim_is_stopped(sim, of))
        silent_s = now_s - of->stopped.since_s;
    if (left_s(sim, cut) > 0)
        silent_s = fmax(silent_s, now_s - cut->since_s);
    return silent_s;
}
