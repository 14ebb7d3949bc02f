/* The links of the simulated world: when a message's bytes are where.
 *
 * Rule: a message is at all the sender's ports when it sets out, and at all the receiver's when its
 * first byte arrives. It is there when each has let its bytes through (ports.c: in equal parts),
 * and those of the sender's have flown. So W equal messages that leave one port, or reach one, end
 * together, after latency + W bytes/bandwidth; a short one among long ones ends early. Messages of
 * one lane are delivered in the order they were sent.
 *
 * Against the real transport, which keeps TRANSPORT_AHEAD pieces of each payload in flight and
 * leaves their order to MPI and TCP:
 * - A payload that other payloads hold up at one port takes its full part of the others all the
 *   same. Its neighbours there are late: beside n such ones at most (n + 1)-fold.
 * - Where the port that holds a payload up changes while it is under way it is early: no port waits
 *   for what another has not let through.
 * - A header between two ranks is early, by up to TRANSPORT_AHEAD pieces of a payload between the
 *   same two.
 * - Payloads of two tags between two ranks count twice; one connection would count once.
 *
 * Cost: a message is one event for each port on its way, one for its arrival, and one more where
 * the sender's port lets it through last. */
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

static void open_both(struct link_port *out, struct link_port *in, double bandwidth)
{
    sim_port_open(out, bandwidth);
    sim_port_open(in, bandwidth);
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
        open_both(&sim->ranks[i].out, &sim->ranks[i].in, links->between.bandwidth);
    for (int i = 0; i < links->rank_count; i++)
        if (links->rank[i].rank >= 0 && links->rank[i].rank < o->ranks) {
            struct rank *rank = &sim->ranks[links->rank[i].rank];
            open_both(&rank->out, &rank->in, links->rank[i].bandwidth);
        }
    for (int i = 0; i < o->ranks; i++)
        sim->ranks[i].out.link = sim->ranks[i].in.link = &sim->ranks[i].net.link;
    sim->host_count = sim_host_of(sim, o->ranks - 1) + 1;
    sim->hosts = xcalloc((size_t)sim->host_count, sizeof *sim->hosts);
    for (int i = 0; i < sim->host_count; i++) {
        open_both(&sim->hosts[i].out, &sim->hosts[i].in, links->host_bandwidth);
        snprintf(sim->hosts[i].name, sizeof sim->hosts[i].name, o->links ? "sim-%d" : "sim", i);
    }
    sim->pairs = xcalloc((size_t)links->pair_count, sizeof *sim->pairs);
    for (int i = 0; i < links->pair_count; i++)
        sim_port_open(&sim->pairs[i], links->pair[i].kind.bandwidth);
}

void sim_links_close(struct sim *sim)
{
    for (int i = 0; i < sim->options.ranks; i++) {
        sim_port_close(&sim->ranks[i].out);
        sim_port_close(&sim->ranks[i].in);
    }
    for (int i = 0; i < sim->host_count; i++) {
        sim_port_close(&sim->hosts[i].out);
        sim_port_close(&sim->hosts[i].in);
    }
    for (int i = 0; i < sim->links.pair_count; i++)
        sim_port_close(&sim->pairs[i]);
    xfree(sim->hosts);
    xfree(sim->pairs);
}

/* The parts of the ports that have a limit; no part is wider than the narrowest port. Bursts do not
 * change that: a payload that one holds up takes its full part elsewhere. */
static void take_parts(struct route *route, struct link_port *const port[STAGES])
{
    double most = INFINITY;
    for (int stage = OUT; stage < STAGES; stage++)
        if (port[stage] && port[stage]->whole > 0)
            most = fmin(most, port[stage]->whole);
    for (int stage = OUT; stage < STAGES; stage++)
        if (port[stage] && port[stage]->whole > 0)
            route->part[stage] = sim_port_part(port[stage], most);
}

struct route sim_route(struct sim *sim, int from, int to)
{
    const struct links *links = &sim->links;
    struct host *home = &sim->hosts[sim_host_of(sim, from)],
                *away = &sim->hosts[sim_host_of(sim, to)];
    const struct link_kind *kind = home == away ? &links->within : &links->between;
    struct route route = {.latency_s = kind->latency_s, .jitter_s = kind->jitter_s};
    struct link_port *port[STAGES] = {NULL};
    if (home == away) {
        route.copy_bandwidth = kind->bandwidth;
    } else {
        port[OUT] = &sim->ranks[from].out;
        port[HOST_OUT] = &home->out;
        port[HOST_IN] = &away->in;
        port[IN] = &sim->ranks[to].in;
    }
    for (int i = 0; i < links->pair_count; i++)
        if (links->pair[i].from == from && links->pair[i].to == to) {
            route.latency_s = links->pair[i].kind.latency_s;
            route.jitter_s = links->pair[i].kind.jitter_s;
            port[LINK] = &sim->pairs[i];
        }
    take_parts(&route, port);
    return route;
}

bool sim_takes_time(const struct route *route)
{
    for (int stage = OUT; stage < STAGES; stage++)
        if (route->part[stage])
            return true;
    return false;
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

/* A message sets out: seconds by which its sender and the links of both its ranks hold it back. */
static double held_back_s(struct sim *sim, const struct request *message)
{
    const struct header *header = &message->header;
    struct rank *end[2] = {&sim->ranks[header->from], &sim->ranks[header->to]};
    const struct net_link *sender = &end[0]->net.link;
    double late_s = sim_cut_s(sim, header->from, header->to);
    if (sender->on_message && !message->early.part && !message->early.access)
        late_s += sender->on_message(sender->owner, header);
    if (!header->bytes || message->early.part ||
        sim_host_of(sim, header->from) == sim_host_of(sim, header->to))
        return late_s;
    for (int i = 0; i < 2; i++) {
        const struct net_link *link = &end[i]->net.link;
        if (link->on_payload)
            late_s += link->on_payload(link->owner, header->tag);
        if (link->divisor) {
            sim_port_renew(sim, &end[i]->out);
            sim_port_renew(sim, &end[i]->in);
        }
    }
    return late_s;
}

/* The last bytes of a message are through a port of this stage. */
static void leave(struct request *message, enum stage stage, double at_s)
{
    struct transit *transit = &message->transit;
    transit->last_s = fmax(transit->last_s, stage < HOST_IN ? at_s + transit->flight_s : at_s);
}

/* The message is at the ports from stage `from` to before `end`; returns when its first byte is
 * through them. */
static double enter(struct sim *sim, struct request *message, enum stage from, enum stage end)
{
    double first_s = sim->events.now_s;
    for (enum stage stage = from; stage < end; stage++) {
        struct port_part *part = message->lane->route.part[stage];
        if (!part)
            continue;
        first_s = fmax(first_s, part->port->heads_s);
        if (message->header.bytes)
            sim_port_join(sim, part, message, stage);
        else
            leave(message, stage, sim_port_head(sim, part->port, message->transit.bytes));
    }
    return first_s;
}

/* The last byte of the message is there: it is delivered after those of its lane before it. */
static void finish(struct sim *sim, struct request *message)
{
    struct lane *lane = message->lane;
    message->transit.there = true;
    for (struct link *first; (first = list_first(&lane->under_way));) {
        message = container_of(struct request, queued, first);
        if (!message->transit.there)
            break;
        list_remove(first);
        sim_deliver(sim, message);
    }
}

/* Of a message that has arrived and that all ports have let through. */
static void proceed(struct sim *sim, struct request *message)
{
    const struct transit *transit = &message->transit;
    if (!transit->arrived || transit->ports)
        return;
    if (transit->last_s <= sim->events.now_s) {
        finish(sim, message);
        return;
    }
    message->event.kind = FINISH;
    event_queue_put(&sim->events, &message->event, transit->last_s);
}

void sim_passed(struct sim *sim, struct request *message, enum stage stage)
{
    leave(message, stage, sim->events.now_s);
    proceed(sim, message);
}

static void arrive(struct sim *sim, struct request *message)
{
    message->transit.arrived = true;
    enter(sim, message, HOST_IN, STAGES);
    proceed(sim, message);
}

void sim_set_out(struct sim *sim, struct request *message)
{
    struct lane *lane = message->lane;
    message->transit.flight_s =
        held_back_s(sim, message) + (message->early.access ? 0 : flight_s(sim, message));
    list_append(&lane->under_way, &message->queued);
    double first_s = enter(sim, message, OUT, HOST_IN);
    lane->arrives_s = fmax(lane->arrives_s, first_s + message->transit.flight_s);
    message->event.kind = ARRIVE;
    event_queue_put(&sim->events, &message->event, lane->arrives_s);
}

void sim_links_event(struct sim *sim, struct event *event)
{
    if (event->kind == PASS)
        sim_port_pass(sim, container_of(struct link_port, event, event));
    else if (event->kind == ARRIVE)
        arrive(sim, container_of(struct request, event, event));
    else
        finish(sim, container_of(struct request, event, event));
}
