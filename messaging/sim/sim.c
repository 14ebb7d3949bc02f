/* The simulated world: every rank is a coroutine of one thread, time is a number, and a run is a
 * pure function of its options.
 *
 * Rule: the next event is the one with the least (time, order of scheduling); a rank runs, in no
 * time, until it waits or spends. How long a message is under way, messaging/links.h and
 * messaging/sim/links.c say: alone between two hosts it arrives after latency + bytes/bandwidth,
 * the last of W at one server after latency + W bytes/bandwidth.
 *
 * Whatever a scheme may not rely on ends the run (EXIT_WORLD), with rank, peer, tag and version: a
 * deadlock, a request open when its rank returns, mail never read, a payload too long, not from
 * net_alloc() or changed before it was read, a look repeated for ever while time stands still.
 * Memory of net_alloc() that is left at the end goes back by itself.
 *
 * Cost: a message is two events and one or two resumptions, O(log(ranks + messages under way))
 * each; matching is O(1), by lanes (receiver, sender, tag); a payload is hashed twice (not if
 * `lax`). No allocation once the pools have grown. Of a payload that grows, each piece that is
 * ready goes as a part, two events more, in its message's lane: so the message comes behind its
 * parts. */
#include "messaging/sim/sim.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"

enum { TAGS = 64, STACK = 256 << 10, PIECE = 1 << 20 };

/* Where the lane with this key stands in the table, or the empty place where it belongs. */
static size_t lane_place(const struct sim *sim, uint64_t key)
{
    size_t at = (key * 0x9E3779B97F4A7C15u) >> 32;
    for (at &= sim->lane_room - 1; sim->lanes[at] && sim->lanes[at]->key != key;
         at = (at + 1) & (sim->lane_room - 1))
        ;
    return at;
}

static void lanes_grow(struct sim *sim)
{
    struct lane **old = sim->lanes;
    size_t room = sim->lane_room;
    sim->lane_room = room ? 2 * room : 64;
    sim->lanes = xcalloc(sim->lane_room, sizeof(struct lane *));
    for (size_t i = 0; i < room; i++)
        if (old[i])
            sim->lanes[lane_place(sim, old[i]->key)] = old[i];
    xfree(old);
}

static struct lane *lane_of(struct sim *sim, int to, int from, int tag)
{
    uint64_t key =
        ((uint64_t)to * ((uint64_t)sim->options.ranks + 1) + (uint64_t)(from + 1)) * TAGS +
        (uint64_t)tag;
    struct lane *lane = sim->lanes[lane_place(sim, key)];
    if (lane)
        return lane;
    lane = xcalloc(1, sizeof *lane);
    lane->key = key;
    lane->any = from == NET_ANY ? lane : lane_of(sim, to, NET_ANY, tag);
    list_clear(&lane->posted);
    list_clear(&lane->messages);
    if (from != NET_ANY)
        lane->route = sim_route(sim, from, to);
    if (2 * ++sim->lane_count > sim->lane_room)
        lanes_grow(sim);
    sim->lanes[lane_place(sim, key)] = lane;
    return lane;
}

static struct request *request_new(struct rank *rank, struct lane *lane)
{
    struct link *spare = rank->sim->spare.prev; /* the one dropped last is in the cache */
    struct request *request = spare != &rank->sim->spare ? container_of(struct request, open, spare)
                                                         : xcalloc(1, sizeof *request);
    if (spare != &rank->sim->spare)
        list_remove(spare);
    memset(request, 0, sizeof *request);
    request->world = rank->net.world;
    request->owner = rank;
    request->lane = lane;
    list_clear(&request->queued);
    list_clear(&request->any);
    list_clear(&request->open);
    return request;
}

static void request_give(struct sim *sim, struct request *request)
{
    assert(!request->event.at);
    list_remove(&request->queued);
    list_remove(&request->open);
    request->owner = NULL;
    list_append(&sim->spare, &request->open);
}

void sim_pause(struct rank *rank)
{
    coroutine_yield(rank->sim->coroutines);
    rank->looks = 0;
}

/* The request is done; an owner who waits for it runs next, still at this time. */
void sim_complete(struct sim *sim, struct request *request)
{
    struct rank *owner = request->owner;
    int place = 0;
    request->done = owner->news = true;
    while (place < owner->listed && owner->list[place] != request)
        place++;
    if (place == owner->listed)
        return;
    owner->found = place < owner->found ? place : owner->found;
    event_queue_put(&sim->events, &owner->event, sim->events.now_s);
}

/* The payload that this receive borrows is its sender's again. */
static void give_loan_back(struct sim *sim, struct request *receive)
{
    struct request *message = receive->reference;
    receive->reference = NULL;
    if (!message)
        return;
    sim_verify(sim, message);
    sim_complete(sim, message);
}

/* Receive and message have found each other: the payload is copied, or lent until the receive is
 * dropped. */
static void match(struct sim *sim, struct request *receive, struct request *message)
{
    struct net *net = &receive->owner->net;
    const struct header *header = &message->header;
    char text[200];
    receive->header = *header;
    net->received_messages++;
    net->received_bytes += (int64_t)(sizeof *header + header->bytes);
    if (header->bytes && receive->into) {
        STRICT(header->bytes <= receive->capacity, sim,
               "rank %d: %s: it does not fit the receive of %zu bytes", header->from,
               sim_describe(sim, message, text), receive->capacity);
        sim_verify(sim, message);
        memcpy(receive->into, message->data, header->bytes);
        if (message->lane->route.copy_bandwidth > 0) {
            receive->reference = message;
            receive->owed_s = (double)header->bytes / message->lane->route.copy_bandwidth;
        } else {
            sim_complete(sim, message);
        }
    } else if (header->bytes) {
        receive->reference = message;
    }
    receive->data = receive->into ? receive->into : message->data;
    if (!header->bytes)
        request_give(sim, message);
    sim_complete(sim, receive);
}

/* The last byte is there: the oldest receive that fits takes the message, or it waits as mail. */
static void deliver(struct sim *sim, struct request *message)
{
    struct lane *lane = message->lane;
    struct link *one = list_first(&lane->posted), *any = list_first(&lane->any->posted);
    if (message->part) {
        request_give(sim, message);
        return;
    }
    struct request *receive = one ? container_of(struct request, queued, one) : NULL,
                   *open = any ? container_of(struct request, queued, any) : NULL;
    if (!receive || (open && open->posted < receive->posted))
        receive = open;
    if (receive) {
        list_remove(&receive->queued);
        match(sim, receive, message);
        return;
    }
    list_append(&lane->messages, &message->queued);
    list_append(&lane->any->messages, &message->any);
    sim->unread++;
}

/* The first mail of the lane, taken out of both its lists; NULL: none. */
static struct request *take_mail(struct sim *sim, struct lane *lane)
{
    struct link *first = list_first(&lane->messages);
    if (!first)
        return NULL;
    struct request *message = lane->any == lane ? container_of(struct request, any, first)
                                                : container_of(struct request, queued, first);
    list_remove(&message->queued);
    list_remove(&message->any);
    sim->unread--;
    return message;
}

static struct request *message_new(struct net *net, int to, const struct header *head,
                                   const void *payload, size_t bytes)
{
    struct rank *rank = net->self;
    struct sim *sim = rank->sim;
    STRICT(!bytes || sim_block_of(rank, payload, bytes), sim,
           "rank %d sends %zu bytes to rank %d (tag %d, version %lld) that do not lie in its "
           "net_alloc() memory",
           net->rank, bytes, to, head->tag, (long long)head->version);
    struct request *message = request_new(rank, lane_of(sim, to, net->rank, head->tag));
    message->sent = true;
    message->data = bytes ? payload : NULL;
    message->header =
        (struct header){.from = net->rank, .to = to, .tag = head->tag, .bytes = bytes};
    message->left = message->ready = bytes;
    if (bytes)
        list_append(&rank->open, &message->open);
    return message;
}

/* The head leaves, with what is left of the payload. */
static void depart(struct rank *rank, struct request *message, const struct header *head)
{
    struct sim *sim = rank->sim;
    struct header before = message->header, *header = &message->header;
    *header = *head;
    header->from = before.from;
    header->to = before.to;
    header->bytes = before.bytes;
    header->sent_s = sim->events.now_s;
    message->sum =
        sim->options.lax || !header->bytes ? 0 : XXH3_64bits(message->data, header->bytes);
    message->carried = sizeof *header + message->left;
    message->number = rank->sends++;
    rank->net.sent_messages++;
    rank->net.sent_bytes += (int64_t)(sizeof *header + header->bytes);
    sim_move(sim, message);
}

static struct request *sim_send(struct net *net, int to, const struct header *head,
                                const void *payload, size_t bytes)
{
    struct request *message = message_new(net, to, head, payload, bytes);
    depart(net->self, message, head);
    return bytes ? message : NULL;
}

static struct request *sim_begin(struct net *net, int to, int tag, const void *payload,
                                 size_t bytes)
{
    struct request *message = message_new(net, to, &(struct header){.tag = tag}, payload, bytes);
    message->grows = true;
    return message;
}

/* What is ready leaves in pieces, as in the real world, where that makes a difference. */
static void send_parts(struct rank *rank, struct request *message)
{
    struct sim *sim = rank->sim;
    size_t piece = rank->net.piece;
    while (sim_takes_time(&message->lane->route) && message->left - message->ready >= piece) {
        struct request *part = request_new(rank, message->lane);
        part->part = true;
        part->header = message->header;
        part->carried = piece;
        part->number = rank->sends;
        message->left -= piece;
        sim_move(sim, part);
    }
}

static void sim_grow(struct net *net, struct request *message, size_t from,
                     const struct header *head)
{
    struct rank *rank = net->self;
    char text[200];
    STRICT(message->owner == rank && message->grows, rank->sim,
           "rank %d: %s is to grow, but was not begun, or is sealed", net->rank,
           sim_describe(rank->sim, message, text));
    STRICT(from <= message->ready && (!head || head->tag == message->header.tag), rank->sim,
           "rank %d: %s: bytes that were ready are not any more, or it is sealed with another tag",
           net->rank, sim_describe(rank->sim, message, text));
    message->ready = from;
    message->grows = !head;
    if (head)
        depart(rank, message, head);
    else
        send_parts(rank, message);
}

static struct request *sim_recv(struct net *net, int from, int tag, void *into, size_t capacity)
{
    struct rank *rank = net->self;
    struct sim *sim = rank->sim;
    struct lane *lane = lane_of(sim, net->rank, from, tag);
    struct request *receive = request_new(rank, lane), *message = take_mail(sim, lane);
    receive->into = into;
    receive->capacity = capacity;
    receive->posted = sim->posted++;
    receive->header = (struct header){.from = from, .to = net->rank, .tag = tag};
    list_append(&rank->open, &receive->open);
    if (message)
        match(sim, receive, message);
    else
        list_append(&lane->posted, &receive->queued);
    return receive;
}

/* The lowest request that is done, or -1. */
static int look(const struct rank *rank, struct request *const *list, int count)
{
    for (int i = 0; i < count; i++) {
        if (!list[i])
            continue;
        assert(list[i]->owner == rank);
        if (list[i]->done)
            return i;
    }
    return -1;
}

static void sim_spend(struct net *net, double seconds)
{
    struct rank *rank = net->self;
    if (seconds <= 0)
        return;
    event_queue_put(&rank->sim->events, &rank->event, rank->sim->events.now_s + seconds);
    sim_pause(rank);
}

/* Begins the next part of what the rank spends; false: all have passed, or something was done that
 * its code must hear of. */
static bool next_part(struct sim *sim, struct rank *rank)
{
    while (rank->passed < rank->parts && !(rank->passed && rank->news)) {
        double seconds = rank->part[rank->passed++];
        if (seconds > 0) {
            event_queue_put(&sim->events, &rank->event, sim->events.now_s + seconds);
            return true;
        }
    }
    return false;
}

static int sim_spend_parts(struct net *net, const double *seconds, int count)
{
    struct rank *rank = net->self;
    rank->part = seconds;
    rank->parts = count;
    rank->passed = 0;
    if (next_part(rank->sim, rank))
        sim_pause(rank);
    rank->parts = 0;
    rank->news = false;
    return rank->passed;
}

/* What a receive copied took its owner's time; only now the sender has its payload back. */
static int settle(struct rank *rank, struct request *const *list, int index)
{
    struct request *receive = index >= 0 ? list[index] : NULL;
    if (!receive || receive->owed_s <= 0)
        return index;
    double owed_s = receive->owed_s;
    receive->owed_s = 0;
    sim_spend(&rank->net, owed_s);
    give_loan_back(rank->sim, receive);
    return index;
}

static int sim_wait(struct net *net, struct request *const *list, int count, double until_s)
{
    struct rank *rank = net->self;
    struct sim *sim = rank->sim;
    int index = look(rank, list, count);
    if (index >= 0)
        return settle(rank, list, index);
    if (until_s <= sim->events.now_s) {
        sim_count_look(rank);
        return -1;
    }
    if (until_s < INFINITY)
        event_queue_put(&sim->events, &rank->event, until_s);
    rank->list = list;
    rank->listed = rank->found = count;
    sim_pause(rank);
    rank->listed = 0;
    return settle(rank, list, rank->found < count ? rank->found : -1);
}

static const struct header *sim_mail(const struct request *request)
{
    assert(request->owner && !request->sent && request->done);
    return &request->header;
}

static const void *sim_data(const struct request *request)
{
    assert(request->owner && !request->sent && request->done);
    return request->data;
}

static void sim_drop(struct net *net, struct request *request)
{
    struct rank *rank = net->self;
    char text[200];
    assert(request->owner == rank);
    STRICT(!request->sent || request->done, rank->sim,
           "rank %d drops %s, which nobody has read yet", net->rank,
           sim_describe(rank->sim, request, text));
    give_loan_back(rank->sim, request);
    request_give(rank->sim, request);
}

static double sim_now(struct net *net)
{
    return ((struct rank *)net->self)->sim->events.now_s;
}

static void sim_poll(struct net *net)
{
    sim_count_look(net->self);
}

static double sim_silence(struct net *net, int rank)
{
    const struct sim *sim = ((struct rank *)net->self)->sim;
    return sim->ranks[rank].returned ? INFINITY : 0;
}

static const char *sim_host(struct net *net, int rank)
{
    const struct sim *sim = ((struct rank *)net->self)->sim;
    return sim->hosts[sim_host_of(sim, rank)].name;
}

static const struct net_world sim_world = {
    .name = "sim",
    .send = sim_send,
    .begin = sim_begin,
    .grow = sim_grow,
    .recv = sim_recv,
    .wait = sim_wait,
    .header = sim_mail,
    .data = sim_data,
    .drop = sim_drop,
    .now = sim_now,
    .spend = sim_spend,
    .spend_parts = sim_spend_parts,
    .poll = sim_poll,
    .alloc = sim_alloc,
    .free = sim_free,
    .silence = sim_silence,
    .host = sim_host,
    .window_open = sim_window_open,
    .window_data = sim_window_data,
    .window_get = sim_window_get,
    .window_add = sim_window_add,
    .window_close = sim_window_close,
};

static void rank_body(void *argument, int index)
{
    struct sim *sim = argument;
    struct rank *rank = &sim->ranks[index];
    sim->body(&rank->net, sim->argument);
    sim_check_returned(rank);
    rank->returned = true;
}

/* A rank that spends part after part, and hears of nothing, is left asleep between them. */
static void resume(struct sim *sim, struct rank *rank)
{
    if (!next_part(sim, rank))
        coroutine_resume(sim->coroutines, rank->net.rank);
}

static struct sim *sim_open(const struct world_options *options, void (*body)(struct net *, void *),
                            void *argument)
{
    struct sim *sim = xcalloc(1, sizeof *sim);
    sim->options = *options;
    sim->body = body;
    sim->argument = argument;
    sim->ranks = xcalloc((size_t)options->ranks, sizeof *sim->ranks);
    sim->coroutines = coroutines_open(
        options->ranks, options->stack_bytes ? options->stack_bytes : STACK, rank_body, sim);
    sim_links_open(sim);
    list_clear(&sim->spare);
    lanes_grow(sim);
    const struct net net = {.world = &sim_world,
                            .ranks = options->ranks,
                            .cores = 1,
                            .piece = options->piece ? options->piece : PIECE,
                            .virtual_time = true};
    for (int i = 0; i < options->ranks; i++) {
        struct rank *rank = &sim->ranks[i];
        rank->net = net;
        rank->net.rank = i;
        rank->net.self = rank;
        rank->sim = sim;
        list_clear(&rank->open);
        list_clear(&rank->blocks);
        event_queue_put(&sim->events, &rank->event, 0);
    }
    return sim;
}

static void sim_close(struct sim *sim)
{
    for (int i = 0; i < sim->options.ranks; i++)
        for (struct link *block; (block = list_first(&sim->ranks[i].blocks));) {
            list_remove(block);
            xfree(container_of(struct block, link, block));
        }
    for (struct link *spare; (spare = list_first(&sim->spare));) {
        list_remove(spare);
        xfree(container_of(struct request, open, spare));
    }
    for (size_t i = 0; i < sim->lane_room; i++)
        xfree(sim->lanes[i]);
    coroutines_close(sim->coroutines);
    sim_links_close(sim);
    xfree(sim->lanes);
    event_queue_close(&sim->events);
    xfree(sim->ranks);
    xfree(sim);
}

void sim_run(const struct world_options *options, void (*body)(struct net *, void *),
             void *argument)
{
    if (options->ranks < 1)
        fatal("a simulated world of %d ranks: give 1 rank or more", options->ranks);
    struct sim *sim = sim_open(options, body, argument);
    for (struct event *event; (event = event_queue_next(&sim->events));) {
        if (event->kind == RESUME)
            resume(sim, container_of(struct rank, event, event));
        else if (event->kind == MOVE)
            sim_move(sim, container_of(struct request, event, event));
        else
            deliver(sim, container_of(struct request, event, event));
    }
    sim_check_end(sim);
    sim_close(sim);
}
