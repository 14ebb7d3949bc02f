/* The link ports of the simulated world: when a message's bytes are where.
 *
 * Rule: cut-through. The first byte goes on at once when the next port is free; a port is taken for
 * bytes/bandwidth from then on, whatever the others on the way need, so that two slow senders fill
 * one fast receiver. The last byte is through when the slowest port, and each port's queue, let it.
 * Between two ports there is room without limit. A header alone overtakes payloads, as in the real
 * world, which sends these in pieces: it queues after headers only, and delays the payloads that
 * start after it by its own bytes. What one rank sends another with one tag keeps its order at
 * every stage.
 *
 * Cost: a message is two events between hosts, one within; one more for each further port on its
 * way. */
#include <math.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/random.h"
#include "messaging/sim/sim.h"

int sim_host_of(const struct sim *sim, int rank)
{
    return rank / sim->links.ranks_per_host;
}

static void check_kind(const struct link_kind *kind, const char *what)
{
    if (!(kind->latency_s >= 0) || !(kind->jitter_s >= 0) || !(kind->bandwidth >= 0) ||
        !isfinite(kind->latency_s + kind->jitter_s))
        fatal("simulated links %s: latency %g s, jitter %g s, %g bytes per second: nothing may be "
              "negative",
              what, kind->latency_s, kind->jitter_s, kind->bandwidth);
}

static void check_links(const struct links *links)
{
    check_kind(&links->between, "between hosts");
    check_kind(&links->within, "within a host");
    for (int i = 0; i < links->pair_count; i++)
        check_kind(&links->pair[i].kind, "of a pair of ranks");
    for (int i = 0; i < links->rank_count; i++)
        check_kind(&(struct link_kind){.bandwidth = links->rank[i].bandwidth}, "of a rank");
    if (links->ranks_per_host < 1 || !(links->host_bandwidth >= 0))
        fatal("simulated hosts of %d ranks, %g bytes per second: give 1 rank or more, and nothing "
              "negative",
              links->ranks_per_host, links->host_bandwidth);
}

void sim_links_open(struct sim *sim)
{
    const struct world_options *o = &sim->options;
    struct links *links = &sim->links;
    *links = o->links ? *o->links
                      : (struct links){.between = {o->latency_s, o->jitter_s, o->bandwidth},
                                       .ranks_per_host = 1};
    check_links(links);
    for (int i = 0; i < o->ranks; i++)
        sim->ranks[i].out.bandwidth = sim->ranks[i].in.bandwidth = links->between.bandwidth;
    for (int i = 0; i < links->rank_count; i++)
        if (links->rank[i].rank >= 0 && links->rank[i].rank < o->ranks) {
            struct rank *rank = &sim->ranks[links->rank[i].rank];
            rank->out.bandwidth = rank->in.bandwidth = links->rank[i].bandwidth;
        }
    int hosts = sim_host_of(sim, o->ranks - 1) + 1;
    sim->hosts = xcalloc((size_t)hosts, sizeof *sim->hosts);
    for (int i = 0; i < hosts; i++) {
        sim->hosts[i].out.bandwidth = sim->hosts[i].in.bandwidth = links->host_bandwidth;
        snprintf(sim->hosts[i].name, sizeof sim->hosts[i].name, o->links ? "sim-%d" : "sim", i);
    }
    sim->pairs = xcalloc((size_t)links->pair_count, sizeof *sim->pairs);
    for (int i = 0; i < links->pair_count; i++)
        sim->pairs[i].bandwidth = links->pair[i].kind.bandwidth;
}

void sim_links_close(struct sim *sim)
{
    xfree(sim->hosts);
    xfree(sim->pairs);
}

static struct link_port *limited(struct link_port *port)
{
    return port->bandwidth > 0 ? port : NULL;
}

struct route sim_route(struct sim *sim, int from, int to)
{
    const struct links *links = &sim->links;
    struct host *home = &sim->hosts[sim_host_of(sim, from)],
                *away = &sim->hosts[sim_host_of(sim, to)];
    const struct link_kind *kind = home == away ? &links->within : &links->between;
    struct route route = {.latency_s = kind->latency_s, .jitter_s = kind->jitter_s};
    if (home == away) {
        route.copy_bandwidth = kind->bandwidth;
    } else {
        route.port[OUT] = limited(&sim->ranks[from].out);
        route.port[HOST_OUT] = limited(&home->out);
        route.port[HOST_IN] = limited(&away->in);
        route.port[IN] = limited(&sim->ranks[to].in);
    }
    for (int i = 0; i < links->pair_count; i++)
        if (links->pair[i].from == from && links->pair[i].to == to) {
            route.latency_s = links->pair[i].kind.latency_s;
            route.jitter_s = links->pair[i].kind.jitter_s;
            route.port[LINK] = limited(&sim->pairs[i]);
        }
    return route;
}

bool sim_takes_time(const struct route *route)
{
    for (int stage = OUT; stage < DELIVERED; stage++)
        if (route->port[stage])
            return true;
    return false;
}

double sim_alone_s(struct sim *sim, int from, int to, size_t bytes)
{
    struct route route = sim_route(sim, from, to);
    double takes_s = route.copy_bandwidth > 0 ? (double)bytes / route.copy_bandwidth : 0;
    for (int stage = OUT; stage < DELIVERED; stage++)
        if (route.port[stage])
            takes_s = fmax(takes_s, (double)bytes / route.port[stage]->bandwidth);
    return route.latency_s + takes_s;
}

/* The bytes of a message under way take the port from `ready_s` on, or when it is free; returns
 * when they begin to. */
static double reserve(struct link_port *port, double ready_s, double takes_s, bool head_alone)
{
    double begin_s = fmax(ready_s, head_alone ? port->heads_s : port->free_s);
    if (head_alone)
        port->heads_s = begin_s + takes_s;
    port->free_s = fmax(port->free_s, begin_s) + takes_s;
    return begin_s;
}

/* Takes the port of the message's stage; returns when its first byte is through. */
static double pass(struct sim *sim, struct request *message)
{
    struct link_port *port = message->lane->route.port[message->transit.stage];
    double now_s = sim->events.now_s;
    if (!port)
        return now_s;
    double takes_s = (double)message->transit.bytes / port->bandwidth;
    double begin_s = reserve(port, now_s, takes_s, !message->header.bytes);
    double left_s =
        begin_s > now_s ? message->transit.span_s - (begin_s - now_s) : message->transit.span_s;
    message->transit.span_s = fmax(left_s, takes_s);
    return begin_s;
}

static double flight_s(const struct sim *sim, const struct request *message)
{
    const struct route *route = &message->lane->route;
    if (route->jitter_s <= 0)
        return route->latency_s;
    struct random random = random_at(RANDOM_LINK, sim->options.seed, (uint64_t)message->header.from,
                                     (uint64_t)message->header.to, message->number);
    return route->latency_s + route->jitter_s * random_uniform(&random);
}

/* The stage after this one that takes time. */
static enum stage next_stage(const struct route *route, enum stage stage)
{
    for (stage++; stage != FLIGHT && stage != DELIVERED && !route->port[stage]; stage++)
        ;
    return stage;
}

void sim_move(struct sim *sim, struct request *message)
{
    struct lane *lane = message->lane;
    double at_s = pass(sim, message);
    enum stage next = next_stage(&lane->route, message->transit.stage);
    if (next == FLIGHT) {
        at_s += flight_s(sim, message);
        next = next_stage(&lane->route, FLIGHT);
    }
    if (next == DELIVERED)
        at_s += message->transit.span_s;
    lane->reached_s[next] = fmax(lane->reached_s[next], at_s);
    message->transit.stage = next;
    message->event.kind = next == DELIVERED ? DELIVER : MOVE;
    event_queue_put(&sim->events, &message->event, lane->reached_s[next]);
}
