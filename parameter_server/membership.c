/* Who is there: departures, control messages, and how training ends.
 *
 * Rank 0 decides that training is over, and tells the other servers. From then on every push is
 * dropped and every pending reply is sent; workers depart. When all have, rank 0 evaluates for the
 * last time, if that is due, and lets everybody go. */
#include <math.h>
#include <string.h>

#include "base/check.h"
#include "parameter_server/server.h"

int ps_present(const struct ps_server *ps)
{
    return ps->present;
}

int ps_next_departure(const struct ps_server *ps, struct event expected)
{
    bool any = expected.kind == EVENT_ANY;
    if (!ps->departing || (!any && expected.kind != EVENT_DEPARTURE))
        return -1;
    for (int i = 0; i < ps->workers; i++)
        if (ps->worker[i].state == WORKER_DEPARTING && (any || i == expected.worker))
            return i;
    return -1;
}

void ps_mark_departed(struct ps_server *ps, int worker)
{
    ps->worker[worker].state = WORKER_DEPARTED;
    ps->departing--;
    ps->present--;
    ps->worker[worker].push = (struct push){.worker = worker, .departed = true};
}

/* --- control messages --- */

void ps_relay_signals(struct ps_server *ps)
{
    ps->relays = true;
    ps->newest_signal = -1;
    if (ps->n->rank == 0)
        ps->recv[RECV_SIGNAL] = net_recv(ps->n->net, NET_ANY, TAG_SIGNAL, NULL, 0);
}

/* Of many workers that finish in one round the first one's signal is passed on: the others say
 * nothing new. */
static void relay_signal(struct ps_server *ps, const struct header *signal)
{
    bool is_new = signal->version > ps->newest_signal;
    ps->recv[RECV_SIGNAL] = net_recv(ps->n->net, NET_ANY, TAG_SIGNAL, NULL, 0);
    ps->relayed++;
    if (is_new)
        ps->newest_signal = signal->version;
    for (int i = 0; i < ps->workers && is_new && !ps->n->stop; i++)
        if (ps_rank_of(ps, i) != signal->from) {
            net_send(ps->n->net, ps_rank_of(ps, i), signal, NULL, 0);
            ps->worker[i].signals_to++;
        }
}

void ps_signal(struct ps_server *ps, int worker)
{
    struct ps_worker *to = &ps->worker[worker];
    const struct header header = {.tag = TAG_SIGNAL, .version = ps->n->version};
    if (to->state >= WORKER_DEPARTING)
        return;
    net_send(ps->n->net, ps_rank_of(ps, worker), &header, NULL, 0);
    to->signals_to++;
}

/* A worker departs only after its last push was used: that was borrowed, or it asked for a
 * reply. */
static void take_departure(struct ps_server *ps, const struct header *m)
{
    struct ps_worker *from = &ps->worker[m->from - ps->servers];
    struct depart_note note;
    header_unpack(m, note);
    CHECK(from->state == WORKER_COMPUTING, "rank %d departs, but its last push is not used yet",
          m->from);
    from->state = WORKER_DEPARTING;
    ps->departing++;
    from->signals_sent = note.signals;
    node_mark_departed(ps->n, m->from);
    ps->recv[RECV_DEPART] = net_recv(ps->n->net, NET_ANY, TAG_DEPART, NULL, 0);
}

static void take_stop(struct ps_server *ps, const struct header *m)
{
    struct stop_note note;
    header_unpack(m, note);
    if (note.drop_replay)
        replay_drop(ps->replay);
    replay_end_after(ps->replay, note.events);
    ps->stop_received = true;
    ps->n->stop = !replay_goes_on(ps->replay);
}

void ps_handle_control(struct ps_server *ps, int index)
{
    const struct header m = *net_header(ps->recv[index]);
    net_release(ps->n->net, ps->recv[index]);
    ps->recv[index] = NULL;
    if (index == RECV_SIGNAL)
        relay_signal(ps, &m);
    else if (index == RECV_STOP)
        take_stop(ps, &m);
    else if (index == RECV_REPLAY)
        replay_take_note(ps, &m);
    else if (index == RECV_ORDER)
        replay_take_order(ps, &m);
    else
        take_departure(ps, &m);
}

/* --- the end --- */

/* At once, or where the other servers' records end, as rank 0's does. */
void ps_send_stop(struct ps_server *ps)
{
    const struct stop_note note = {.drop_replay = replay_expected(ps->replay).kind != EVENT_END,
                                   .events = replay_ordered(ps->replay)};
    for (int s = 1; s < ps->servers && ps->n->rank == 0 && !ps->stop_sent; s++)
        send_note(ps->n->net, s, TAG_STOP, note);
    ps->stop_sent = true;
}

void ps_reply_to_all_at_end(struct ps_server *ps)
{
    for (int i = 0; i < ps->workers; i++) {
        ps_discard(ps, i);
        if (ps->worker[i].reply_pending)
            ps_reply(ps, i);
    }
}

/* By all workers that have said so. */
static int64_t signals_sent(const struct ps_server *ps)
{
    int64_t sum = 0;
    for (int i = 0; i < ps->workers; i++)
        sum += ps->worker[i].signals_sent;
    return sum;
}

/* To a worker; none to a server. */
static int64_t signals_to(const struct ps_server *ps, int worker)
{
    if (worker < 0)
        return 0;
    const struct ps_worker *to = &ps->worker[worker];
    return to->signals_to + (ps->relays ? 0 : signals_sent(ps) - to->signals_sent);
}

/* Computing of a worker that no update has used; 0 for a server. */
static double dropped_s(const struct ps_server *ps, int worker)
{
    if (worker < 0)
        return 0;
    const struct ps_worker *of = &ps->worker[worker];
    return of->dropped_s + (of->counted_in == ps->n->version ? of->counted_s : 0);
}

static bool is_waited_for(const struct ps_server *ps)
{
    for (int i = 0; i < ps->workers; i++)
        if (ps->worker[i].state < WORKER_DEPARTING)
            return true;
    return ps->recv[RECV_STOP] || ps->recv[RECV_REPLAY] ||
           (ps->recv[RECV_SIGNAL] && ps->relayed < signals_sent(ps));
}

void ps_farewell(struct ps_server *ps)
{
    struct net *net = ps->n->net;
    ps_await_replies_taken(ps);
    while (is_waited_for(ps)) {
        struct request *list[RECV_PUSH];
        memcpy(list, ps->recv, sizeof list);
        ps_handle_control(
            ps, node_wait(ps->n, list, RECV_PUSH, INFINITY, "a worker to depart", NET_ANY));
    }
    if (ps->n->rank > 0) {
        struct request *list[2] = {NULL, net_recv(net, 0, TAG_FAREWELL, NULL, 0)};
        node_wait(ps->n, list, 2, INFINITY, "the last evaluation", 0);
        net_release(net, list[1]);
        return;
    }
    node_final_evaluation(ps->n);
    for (int rank = 1; rank < net->ranks; rank++) {
        const struct farewell_note note = {.signals = signals_to(ps, rank - ps->servers),
                                           .dropped_s = dropped_s(ps, rank - ps->servers)};
        send_note(net, rank, TAG_FAREWELL, note);
    }
}
