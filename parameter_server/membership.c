/* Who is there: departures, control messages, and how training ends.
 *
 * A scheme that called ps_go_on_without() does not end when a worker is lost. The worker is absent:
 * nobody waits for its push, until one comes.
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

/* --- absence --- */

/* A worker that has departed, or is about to, is needed no more. */
static bool is_missed(const struct ps_worker *w)
{
    return w->state < WORKER_DEPARTING;
}

/* node_on_absence()'s */
static bool take_absence(void *self, int rank)
{
    struct ps_server *ps = self;
    int worker = rank - ps->servers;
    struct ps_worker *lost = worker >= 0 ? &ps->worker[worker] : NULL;
    if (!lost || (is_missed(lost) && ps->present - ps->absent <= 1))
        return false;
    ps_move_weights(ps);
    if (!is_missed(lost) || lost->absence != WORKER_PRESENT)
        return true;
    lost->absence = WORKER_ABSENT;
    ps->absent++;
    return true;
}

void ps_go_on_without(struct ps_server *ps)
{
    if (ps->servers == 1 && !node_is_ordered(ps->n) && !optimizer_is_offloaded(ps->optimizer))
        node_on_absence(ps->n, take_absence, ps);
}

/* One whose push is here is not missed until that is used. */
int ps_next_absence(const struct ps_server *ps)
{
    for (int i = 0; ps->absent && i < ps->workers; i++)
        if (ps->worker[i].absence == WORKER_ABSENT && ps->worker[i].state == WORKER_COMPUTING)
            return i;
    return -1;
}

void ps_leave_alone(struct ps_server *ps, int worker)
{
    ps->worker[worker].absence = WORKER_LEFT_ALONE;
    ps->worker[worker].push = (struct push){.worker = worker, .departed = true, .absent = true};
    ps->absent--;
    ps->present--;
}

void ps_take_back(struct ps_server *ps, int worker)
{
    struct ps_worker *from = &ps->worker[worker];
    ps->absent -= from->absence == WORKER_ABSENT;
    ps->present += from->absence == WORKER_LEFT_ALONE;
    from->absence = WORKER_PRESENT;
    node_take_back(ps->n, ps_rank_of(ps, worker));
}

bool ps_await_absent(struct ps_server *ps)
{
    for (int i = 0; i < ps->workers && !ps->n->stop; i++) {
        struct ps_worker *w = &ps->worker[i];
        if (w->absence != WORKER_LEFT_ALONE)
            continue;
        w->absence = WORKER_PRESENT;
        ps->present++;
        node_set_absent(ps->n, ps_rank_of(ps, i), false);
    }
    if (ps->present)
        node_on_absence(ps->n, NULL, NULL);
    return ps->present > 0;
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
    CHECK(m->from >= ps->servers, "rank %d departs, and is no worker", m->from);
    struct ps_worker *from = &ps->worker[m->from - ps->servers];
    struct depart_note note;
    header_unpack(m, note);
    node_cut(ps->n, note.cut);
    CHECK(from->state == WORKER_COMPUTING, "rank %d departs, but its last push is not used yet",
          m->from);
    depart_note_check(m, &note);
    ps_take_back(ps, m->from - ps->servers);
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

void ps_announce_end(struct ps_server *ps)
{
    ps->announces_end = !node_is_ordered(ps->n);
}

/* The last checkpoint is to be cut, as a reply would say. */
static void tell_end(struct ps_server *ps, int worker, const struct stop_note *note)
{
    struct header header = {.tag = TAG_STOP, .count = node_cut_number(ps->n)};
    header_pack(&header, *note);
    net_send(ps->n->net, ps_rank_of(ps, worker), &header, NULL, 0);
}

/* At once, or where the other servers' records end, as rank 0's does. */
void ps_send_stop(struct ps_server *ps)
{
    const struct stop_note note = {.drop_replay = replay_expected(ps->replay).kind != EVENT_END,
                                   .events = replay_ordered(ps->replay)};
    for (int s = 1; s < ps->servers && ps->n->rank == 0 && !ps->stop_sent; s++)
        send_note(ps->n->net, s, TAG_STOP, note);
    for (int i = 0; i < ps->workers && ps->n->rank == 0 && ps->announces_end && !ps->stop_sent; i++)
        tell_end(ps, i, &note);
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
        if (ps->worker[i].state < WORKER_DEPARTING && ps->worker[i].absence == WORKER_PRESENT)
            return true;
    return ps->recv[RECV_STOP] || ps->recv[RECV_REPLAY] ||
           (ps->recv[RECV_SIGNAL] && ps->relayed < signals_sent(ps));
}

/* The last rank that is; 0: none. */
static int absent_rank(const struct ps_server *ps)
{
    int rank = ps->n->net->ranks - 1;
    while (rank > 0 && !node_is_absent(ps->n, rank))
        rank--;
    return rank;
}

void ps_farewell(struct ps_server *ps)
{
    struct net *net = ps->n->net;
    ps_await_replies_taken(ps);
    while (is_waited_for(ps)) {
        struct request *list[RECV_PUSH];
        memcpy(list, ps->recv, sizeof list);
        int index = node_wait(ps->n, list, RECV_PUSH, INFINITY, "a worker to depart", NET_ANY);
        if (index >= 0)
            ps_handle_control(ps, index);
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
                                           .dropped_s = dropped_s(ps, rank - ps->servers),
                                           .absent = absent_rank(ps)};
        send_note(net, rank, TAG_FAREWELL, note);
    }
}
