/* Messages of the simulated world: requests, lanes, who is matched with whom.
 *
 * Cost: matching is O(1), by lanes (receiver, sender, tag); a payload is hashed twice (not if
 * `lax`). No allocation once the pools have grown. Of a payload that gets ready piece by piece,
 * each piece leaves as a part, three events more, in its message's lane: so the message arrives
 * after its parts. */
#include "messaging/sim/sim.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"

void sim_requests_open(struct sim *sim)
{
    list_clear(&sim->spare[false]);
    list_clear(&sim->spare[true]);
}

struct request *sim_request(struct rank *rank, struct lane *lane, bool has_ends)
{
    struct link *spares = &rank->sim->spare[has_ends];
    struct link *spare = spares->prev; /* the one freed last is in the cache */
    struct request *request = container_of(struct request, open, spare);
    size_t bytes = sizeof *request + (has_ends ? STAGES * sizeof *request->end : 0);
    if (spare == spares)
        request = slabs_take(&rank->sim->slabs, bytes);
    else
        list_remove(spare);
    memset(request, 0, bytes);
    request->has_ends = has_ends;
    request->calls = rank->net.calls;
    request->owner = rank;
    request->lane = lane;
    if (lane)
        lane->users++;
    list_clear(&request->queued);
    list_clear(&request->any);
    list_clear(&request->open);
    list_clear(&request->same);
    return request;
}

static void request_free(struct sim *sim, struct request *request)
{
    assert(!request->event.at);
    list_remove(&request->queued);
    list_remove(&request->open);
    request->owner = NULL;
    if (request->lane)
        request->lane->users--;
    list_append(&sim->spare[request->has_ends], &request->open);
}

/* The request is done; an owner that waits for it runs next, still at this time. */
void sim_complete(struct sim *sim, struct request *request)
{
    struct rank *owner = request->owner;
    int place = 0;
    request->done = true;
    sim_hear(sim, owner);
    while (place < owner->wait.listed && owner->wait.list[place] != request)
        place++;
    if (place == owner->wait.listed)
        return;
    owner->wait.found = place < owner->wait.found ? place : owner->wait.found;
    event_queue_put(&sim->events, &owner->event, sim->events.now_s);
}

/* What a server sends to a thousand workers is hashed twice, not two thousand times: messages under
 * way with one payload share its sum, and the last one that is read is verified. What was changed
 * under any of them is changed then. */
static void share_sum(struct rank *rank, struct request *message)
{
    const struct request *latest = rank->latest;
    if (rank->sim->options.lax || !message->header.bytes)
        return;
    if (latest && latest->data == message->data && latest->header.bytes == message->header.bytes) {
        message->sum = latest->sum;
        list_append(&rank->latest->same, &message->same);
    } else {
        message->sum = sim_sum(rank->sim, message);
    }
    rank->latest = message;
}

/* The payload was read, and is its sender's again. */
static void give_back(struct sim *sim, struct request *message)
{
    struct link *other = list_first(&message->same);
    if (!other)
        sim_verify(sim, message);
    if (message->owner->latest == message)
        message->owner->latest = other ? container_of(struct request, same, other) : NULL;
    list_remove(&message->same);
    sim_complete(sim, message);
}

void sim_release_payload(struct sim *sim, struct request *receive)
{
    struct request *message = receive->reference;
    receive->reference = NULL;
    if (message)
        give_back(sim, message);
}

/* The payload is copied, or referenced until the receive is released. */
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
        memcpy(receive->into, message->data, header->bytes);
        if (message->lane->route.copy_bandwidth > 0) {
            receive->reference = message;
            receive->owed_s = (double)header->bytes / message->lane->route.copy_bandwidth;
        } else {
            give_back(sim, message);
        }
    } else if (header->bytes) {
        receive->reference = message;
    }
    receive->data = receive->into ? receive->into : message->data;
    if (!header->bytes)
        request_free(sim, message);
    sim_complete(sim, receive);
}

/* A payload, or a part of one, that has come from another host. */
static void count_moved(struct sim *sim, const struct request *message)
{
    const struct header *header = &message->header;
    int64_t bytes = (int64_t)message->transit.bytes;
    if ((!header->bytes && !message->early.part) ||
        sim_host_of(sim, header->from) == sim_host_of(sim, header->to))
        return;
    sim->ranks[header->from].net.moved_bytes += bytes;
    sim->ranks[header->to].net.moved_bytes += bytes;
}

/* The last byte is there: the oldest receive that fits takes the message, or it waits. */
void sim_deliver(struct sim *sim, struct request *message)
{
    struct lane *lane = message->lane;
    struct link *one = list_first(&lane->posted), *any = list_first(&lane->any->posted);
    count_moved(sim, message);
    if (message->early.part) {
        request_free(sim, message);
        return;
    }
    if (message->early.access) {
        sim_complete(sim, message);
        return;
    }
    message->delivered_s = sim->events.now_s;
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

/* The first message of the lane, taken out of both its lists; NULL: none. */
static struct request *take_message(struct sim *sim, struct lane *lane)
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

static struct request *message_new(struct net *net, int to, const struct header *header,
                                   const void *payload, size_t bytes)
{
    struct rank *rank = net->self;
    struct sim *sim = rank->sim;
    STRICT(!bytes || sim_block_of(rank, payload, bytes), sim,
           "rank %d sends %zu bytes to rank %d (tag %d, version %lld) that do not lie in its "
           "net_alloc() memory",
           net->rank, bytes, to, header->tag, (long long)header->version);
    struct request *message = sim_request(rank, sim_lane(sim, to, net->rank, header->tag), bytes);
    message->sent = true;
    message->delivered_s = INFINITY;
    message->data = bytes ? payload : NULL;
    message->header =
        (struct header){.from = net->rank, .to = to, .tag = header->tag, .bytes = bytes};
    message->early.left = message->early.ready = bytes;
    if (bytes)
        list_append(&rank->open, &message->open);
    return message;
}

/* The header leaves, with the rest of the payload. */
static void launch(struct rank *rank, struct request *message, const struct header *given)
{
    struct sim *sim = rank->sim;
    struct header *header = &message->header, before = *header;
    *header = *given;
    header->from = before.from;
    header->to = before.to;
    header->bytes = before.bytes;
    header->sent_s = sim->events.now_s;
    share_sum(rank, message);
    message->transit.bytes = sizeof *header + message->early.left;
    message->number = rank->sends++;
    sim->expired = 0;
    rank->net.sent_messages++;
    rank->net.sent_bytes += (int64_t)(sizeof *header + header->bytes);
    sim_set_out(sim, message);
}

struct request *sim_send(struct net *net, int to, const struct header *header, const void *payload,
                         size_t bytes)
{
    struct request *message = message_new(net, to, header, payload, bytes);
    launch(net->self, message, header);
    return bytes ? message : NULL;
}

struct request *sim_send_begin(struct net *net, int to, int tag, const void *payload, size_t bytes)
{
    struct request *message = message_new(net, to, &(struct header){.tag = tag}, payload, bytes);
    message->early.open = true;
    return message;
}

/* What is ready leaves in pieces, as in the real world, where that makes a difference. */
static void send_parts(struct rank *rank, struct request *message)
{
    struct sim *sim = rank->sim;
    size_t piece = rank->net.piece;
    while (sim_takes_time(&message->lane->route) &&
           message->early.left - message->early.ready >= piece) {
        struct request *part = sim_request(rank, message->lane, true);
        part->early.part = true;
        part->header = message->header;
        part->transit.bytes = piece;
        part->number = rank->sends;
        message->early.left -= piece;
        sim_set_out(sim, part);
    }
}

/* May the sender still say that bytes from `from` on are ready? */
static void check_open(struct net *net, const struct request *message, size_t from)
{
    struct rank *rank = net->self;
    char text[200];
    STRICT(message->owner == rank && message->early.open, rank->sim,
           "rank %d: %s: it was not begun, or is committed", net->rank,
           sim_describe(rank->sim, message, text));
    STRICT(from <= message->early.ready, rank->sim,
           "rank %d: %s: bytes that were ready are not any more", net->rank,
           sim_describe(rank->sim, message, text));
}

void sim_send_ready(struct net *net, struct request *message, size_t from)
{
    check_open(net, message, from);
    message->early.ready = from;
    send_parts(net->self, message);
}

void sim_send_commit(struct net *net, struct request *message, const struct header *header)
{
    struct rank *rank = net->self;
    char text[200];
    check_open(net, message, 0);
    STRICT(header->tag == message->header.tag, rank->sim,
           "rank %d: %s: it is committed with another tag", net->rank,
           sim_describe(rank->sim, message, text));
    message->early.ready = 0;
    message->early.open = false;
    launch(rank, message, header);
}

void sim_access(struct net *net, int from, int to, size_t bytes)
{
    struct rank *rank = net->self;
    struct request *access = sim_request(rank, sim_lane(rank->sim, to, from, TAG_WORLD), bytes);
    double copy_bandwidth = access->lane->route.copy_bandwidth;
    access->sent = access->early.access = true;
    access->header = (struct header){.from = from, .to = to, .tag = TAG_WORLD, .bytes = bytes};
    access->transit.bytes = bytes;
    access->owed_s = copy_bandwidth > 0 ? (double)bytes / copy_bandwidth : 0;
    list_append(&rank->open, &access->open);
    sim_set_out(rank->sim, access);
    net_wait(net, &access, 1, INFINITY);
    net_release(net, access);
}

struct request *sim_recv(struct net *net, int from, int tag, void *into, size_t capacity)
{
    struct rank *rank = net->self;
    struct sim *sim = rank->sim;
    struct lane *lane = sim_lane(sim, net->rank, from, tag);
    struct request *receive = sim_request(rank, lane, false), *message = take_message(sim, lane);
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

const struct header *sim_header(const struct request *request)
{
    assert(request->owner && !request->sent && request->done);
    return &request->header;
}

const void *sim_data(const struct request *request)
{
    assert(request->owner && !request->sent && request->done);
    return request->data;
}

struct net_passage sim_passage(struct net *net, const struct request *request)
{
    (void)net;
    if (request->sent)
        return (struct net_passage){-INFINITY, request->delivered_s};
    if (request->lane && request->done)
        return (struct net_passage){request->header.sent_s, INFINITY};
    return (struct net_passage){-INFINITY, -INFINITY};
}

void sim_release(struct net *net, struct request *request)
{
    struct rank *rank = net->self;
    char text[200];
    assert(request->owner == rank);
    STRICT(!request->sent || request->done, rank->sim,
           "rank %d releases %s, which nobody has read yet", net->rank,
           sim_describe(rank->sim, request, text));
    sim_release_payload(rank->sim, request);
    request_free(rank->sim, request);
}
