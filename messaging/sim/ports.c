/* A link port of the simulated world: who has how much of its bandwidth.
 *
 * Rule: fair queueing (Demers, Keshav, Shenker, SIGCOMM 1989), as a fluid. Lanes that have bytes at
 * a port have equal parts of its bandwidth, but none more than the narrowest port on its way lets
 * through: what it leaves the others have (max-min fairness). Within a lane, which is what one rank
 * sends another with one tag, bytes pass in order. A header alone overtakes payloads: it queues
 * after headers only, and all payloads stand still for its bytes.
 *
 * Cost: a port has one event, for the message that is through next; what arrives moves it. Each is
 * O(log n + k), n the messages at the port, k the bandwidths that the ways through it have; in most
 * networks one. */
#include <math.h>

#include "base/alloc.h"
#include "messaging/sim/sim.h"

void sim_port_open(struct link_port *port, double bandwidth)
{
    port->bandwidth = port->whole = bandwidth;
    port->event.kind = PASS;
}

void sim_port_close(struct link_port *port)
{
    for (struct port_part *part = port->parts, *after; part; part = after) {
        after = part->after;
        event_queue_close(&part->queue);
        xfree(part);
    }
}

struct port_part *sim_port_part(struct link_port *port, double most)
{
    struct port_part **at = &port->parts;
    while (*at && (*at)->most < most)
        at = &(*at)->after;
    struct port_part *there = *at;
    if (there && there->most == most)
        return there;
    struct port_part *part = xcalloc(1, sizeof *part);
    *part = (struct port_part){.port = port, .after = there, .most = most};
    *at = part;
    return part;
}

/* Sets the clocks: what each lane has got until now. */
static void count(const struct sim *sim, struct link_port *port)
{
    double now_s = sim->events.now_s, begin_s = fmax(port->counted_s, port->heads_s);
    port->counted_s = now_s;
    if (now_s <= begin_s)
        return;
    for (struct port_part *part = port->parts; part; part = part->after)
        if (part->lanes) {
            double got = (now_s - begin_s) * part->bandwidth / part->among;
            part->queue.now_s = fmin(part->queue.now_s + got, event_queue_next_s(&part->queue));
        }
}

/* The bandwidth that a port has now; returns for how long. */
static double take_bandwidth(struct link_port *port)
{
    double for_s = INFINITY;
    if (port->link && port->link->divisor)
        port->bandwidth = port->whole / port->link->divisor(port->link->owner, &for_s);
    return for_s;
}

/* Divides the bandwidth anew, and puts down when the next message is through, or when the bandwidth
 * is another one. */
static void divide(struct sim *sim, struct link_port *port)
{
    double for_s = take_bandwidth(port), next_s = INFINITY, now_s = sim->events.now_s,
           left = port->bandwidth;
    int lanes = port->lanes;
    for (struct port_part *part = port->parts; part; part = part->after) {
        if (!part->lanes)
            continue;
        bool narrow = part->most * lanes < left; /* less than an equal part */
        part->bandwidth = narrow ? part->most : left;
        part->among = narrow ? 1 : lanes;
        double bytes = event_queue_next_s(&part->queue) - part->queue.now_s,
               in_s = bytes * part->among / part->bandwidth;
        if (in_s < next_s) {
            next_s = in_s;
            port->next = part;
        }
        if (narrow) {
            left -= part->most * part->lanes;
            lanes -= part->lanes;
        }
    }
    if (!port->lanes)
        return;
    next_s += fmax(now_s, port->heads_s);
    if (now_s + for_s < next_s) {
        next_s = now_s + for_s;
        port->next = NULL;
    }
    event_queue_put(&sim->events, &port->event, next_s);
}

void sim_port_renew(struct sim *sim, struct link_port *port)
{
    count(sim, port);
    divide(sim, port);
}

double sim_port_head(struct sim *sim, struct link_port *port, size_t bytes)
{
    count(sim, port);
    take_bandwidth(port);
    port->heads_s = fmax(sim->events.now_s, port->heads_s) + (double)bytes / port->bandwidth;
    divide(sim, port);
    return port->heads_s;
}

void sim_port_join(struct sim *sim, struct port_part *part, struct request *message,
                   enum stage stage)
{
    struct turn *turn = &message->lane->turn[stage];
    count(sim, part->port);
    if (!turn->messages++) {
        turn->through = part->queue.now_s;
        part->lanes++;
        part->port->lanes++;
    }
    turn->through += (double)message->transit.bytes;
    message->transit.ports++;
    message->end[stage].kind = stage;
    event_queue_put(&part->queue, &message->end[stage], turn->through);
    divide(sim, part->port);
}

void sim_port_pass(struct sim *sim, struct link_port *port)
{
    struct port_part *part = port->next;
    if (!part) {
        sim_port_renew(sim, port);
        return;
    }
    const double through = event_queue_next_s(&part->queue);
    count(sim, port);
    while (event_queue_next_s(&part->queue) <= through) {
        struct event *event = event_queue_next(&part->queue);
        enum stage stage = (enum stage)event->kind;
        struct request *message = container_of(struct request, end, event - stage);
        message->transit.ports--;
        if (!--message->lane->turn[stage].messages) {
            part->lanes--;
            port->lanes--;
        }
        sim_passed(sim, message, stage);
    }
    if (!part->lanes)
        part->queue.now_s = 0; /* the sums stay short, and exact */
    divide(sim, port);
}
