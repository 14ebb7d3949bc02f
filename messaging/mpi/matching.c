/* Two lists in order: receives that are not done, messages that are not done. Both are short (what
 * a scheme has under way), so they are walked. A message from this host lies in its sender's memory
 * and needs at most a copy. One from another host stays there until it is matched; then its pieces
 * go straight to the receive's buffer, or to one of this rank for borrowing. A payload that was
 * begun early is fetched at once, to a buffer of this rank; it waits in a list of its own for its
 * message. */
#define _GNU_SOURCE
#include "messaging/mpi/matching.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/check.h"
#include "messaging/mpi/process.h"
#include "messaging/mpi/requests.h"

enum { PATIENCE_S = 60 };

struct matching {
    struct net *net;
    struct segment *segment;
    struct transport *transport;
    const bool *local;
    struct link posted; /* receives that are not done, in order */
    struct link inbox;  /* messages that are not done, in order */
    struct link early;  /* payloads whose message is still to come */
    struct pools pools;
    int arriving, references;
    bool changed; /* since matching_publish() */
};

static struct message *message_of(struct link *link)
{
    return container_of(struct message, link, link);
}

static struct request *request_of(struct link *link)
{
    return container_of(struct request, link, link);
}

struct matching *matching_open(struct net *net, struct segment *segment,
                               struct transport *transport, const bool *local)
{
    struct matching *m = xcalloc(1, sizeof *m);
    *m = (struct matching){.net = net, .segment = segment, .transport = transport, .local = local};
    list_clear(&m->posted);
    list_clear(&m->inbox);
    list_clear(&m->early);
    pools_open(&m->pools);
    return m;
}

static void free_all(struct matching *m, struct link *messages)
{
    for (struct link *l; (l = list_first(messages));) {
        list_remove(l);
        message_free(&m->pools, message_of(l));
    }
}

void matching_close(struct matching *m)
{
    free_all(m, &m->inbox);
    free_all(m, &m->early);
    pools_close(&m->pools);
    xfree(m);
}

static void post(struct matching *m, int to, const struct envelope *e)
{
    if (m->local[to])
        segment_post(m->segment, to, e);
    else
        transport_post(m->transport, to, e);
}

static void release_payload(struct matching *m, struct message *e)
{
    if (e->reference)
        post(m, e->header.from,
             &(struct envelope){.kind = ENVELOPE_RELEASED, .reference = e->reference});
    e->reference = 0;
}

/* The payload is here and the receive wants it in its own buffer. */
static void deliver(struct matching *m, struct message *e)
{
    void *into = e->receive->into;
    if (!into)
        return;
    if (e->data != into && e->header.bytes)
        memcpy(into, e->data, e->header.bytes);
    e->data = into;
    message_give_buffer(e);
    release_payload(m, e);
}

/* Lets the pieces come: to `into`, or to a buffer of this rank (NULL). */
static void fetch(struct matching *m, struct message *e, void *into)
{
    if (!into) {
        e->buffer = buffer_take(&m->pools, e->header.bytes);
        into = e->buffer->at;
    }
    e->data = into;
    e->incoming = (struct moving){
        .at = into, .bytes = e->header.bytes, .peer = e->header.from, .channel = e->channel};
    e->place = ARRIVING;
    transport_start(m->transport, &e->incoming);
    post(m, e->header.from,
         &(struct envelope){
             .kind = ENVELOPE_READY, .reference = e->reference, .channel = e->channel});
}

static void match(struct matching *m, struct request *r, struct message *e)
{
    CHECK(!r->into || e->header.bytes <= r->capacity,
          "rank %d sent %llu bytes with tag %d to a receive for %zu", e->header.from,
          (unsigned long long)e->header.bytes, e->header.tag, r->capacity);
    r->message = e;
    e->receive = r;
    if (e->place == AT_SENDER) {
        fetch(m, e, r->into);
        m->arriving++;
    } else if (e->place == ARRIVED) {
        deliver(m, e);
    }
    m->changed = true;
}

static bool fits(const struct request *r, const struct message *e)
{
    return !r->message && !e->receive && r->tag == e->header.tag &&
           (r->peer == NET_ANY || r->peer == e->header.from);
}

static void match_receive(struct matching *m, struct request *r)
{
    for (struct link *l = m->inbox.next; l != &m->inbox; l = l->next)
        if (fits(r, message_of(l))) {
            match(m, r, message_of(l));
            return;
        }
}

struct request *matching_recv(struct matching *m, int from, int tag, void *into, size_t capacity)
{
    struct request *r = request_new(&m->pools, m->net->calls);
    r->peer = from;
    r->tag = tag;
    r->into = into;
    r->capacity = capacity;
    list_append(&m->posted, &r->link);
    match_receive(m, r);
    return r;
}

static struct request *reference_payload(struct matching *m, int to, const void *payload,
                                         size_t bytes)
{
    struct request *r = request_new(&m->pools, m->net->calls);
    r->sends = true;
    r->peer = to;
    r->payload = payload;
    r->capacity = bytes;
    m->references++;
    return r;
}

static void announce(struct matching *m, int to, const struct header *header,
                     const struct request *reference)
{
    struct envelope e = {.header = *header, .kind = ENVELOPE_MESSAGE};
    e.header.from = m->net->rank;
    e.header.to = to;
    e.header.bytes = reference ? reference->capacity : 0;
    e.header.sent_s = net_now(m->net);
    m->net->sent_messages++;
    m->net->sent_bytes += (int64_t)(sizeof e.header + e.header.bytes);
    if (reference) {
        bool ours = segment_locate(m->segment, reference->payload, reference->capacity, &e);
        assert(ours && "a payload must lie in memory of net_alloc()");
        e.reference = reference->number;
    }
    post(m, to, &e);
}

struct request *matching_send(struct matching *m, int to, const struct header *header,
                              const void *payload, size_t bytes)
{
    struct request *r = bytes ? reference_payload(m, to, payload, bytes) : NULL;
    announce(m, to, header, r);
    return r;
}

/* Within a host the payload stays where it is, so there is nothing to begin. */
struct request *matching_send_begin(struct matching *m, int to, int tag, const void *payload,
                                    size_t bytes)
{
    struct request *r = reference_payload(m, to, payload, bytes);
    struct header announced = {.from = m->net->rank, .to = to, .tag = tag, .bytes = bytes};
    r->tag = tag;
    r->open = true;
    r->ready = bytes;
    if (!m->local[to])
        post(m, to,
             &(struct envelope){
                 .header = announced, .kind = ENVELOPE_EARLY, .reference = r->number});
    return r;
}

void matching_send_ready(struct matching *m, struct request *r, size_t from)
{
    assert(r->in_use && r->open && "only what was begun gets ready, until it is committed");
    assert(from <= r->ready);
    r->ready = r->outgoing.ready = from;
    if (r->outgoing.bytes)
        transport_start(m->transport, &r->outgoing);
}

void matching_send_commit(struct matching *m, struct request *r, const struct header *header)
{
    assert(header->tag == r->tag);
    matching_send_ready(m, r, 0);
    r->open = false;
    announce(m, r->peer, header, r);
}

/* A send to nobody in particular: nothing is referenced, its payload is what moves. */
struct request *matching_sum(struct matching *m, int first, float *vector, int64_t count)
{
    struct request *r = request_new(&m->pools, m->net->calls);
    r->sends = r->released = true;
    r->peer = NET_ANY;
    r->outgoing =
        (struct moving){.at = (char *)vector, .bytes = (size_t)count * sizeof *vector, .out = true};
    transport_sum(m->transport, first, &r->outgoing);
    return r;
}

static struct request *referenced_send(struct matching *m, int from, const struct envelope *e)
{
    struct request *r = request_at(&m->pools, e->reference);
    CHECK(r && r->sends && r->peer == from && !r->released,
          "rank %d speaks of a send (number %u) that is not under way", from, e->reference);
    return r;
}

/* A payload whose message is still to come. There is room for it: a sender has few requests. */
static void handle_early(struct matching *m, int from, const struct envelope *envelope)
{
    CHECK(!m->local[from] && envelope->header.from == from && envelope->header.tag >= 0 &&
              envelope->header.tag < NET_TAGS && envelope->header.bytes && envelope->reference,
          "rank %d begins a payload that makes no sense (%llu bytes): do all ranks run the same "
          "program?",
          from, (unsigned long long)envelope->header.bytes);
    struct message *e = message_new(&m->pools);
    e->header = envelope->header;
    e->reference = envelope->reference;
    fetch(m, e, NULL);
    list_append(&m->early, &e->link);
}

/* The message that has come now: one that was begun early, or a new one. */
static struct message *message_for(struct matching *m, int from, const struct envelope *envelope)
{
    for (struct link *l = m->early.next; l != &m->early; l = l->next) {
        struct message *e = message_of(l);
        if (e->header.from != from || e->reference != envelope->reference)
            continue;
        CHECK(e->header.bytes == envelope->header.bytes, "rank %d began %llu bytes and sends %llu",
              from, (unsigned long long)e->header.bytes,
              (unsigned long long)envelope->header.bytes);
        list_remove(l);
        if (e->incoming.moved == e->incoming.bytes)
            e->place = ARRIVED;
        else
            m->arriving++;
        return e;
    }
    struct message *e = message_new(&m->pools);
    e->place = envelope->reference && !m->local[from] ? AT_SENDER : ARRIVED;
    return e;
}

static void handle_message(struct matching *m, int from, const struct envelope *envelope)
{
    struct message *e = message_for(m, from, envelope);
    e->header = envelope->header;
    CHECK(e->header.from == from && e->header.to == m->net->rank && e->header.tag >= 0 &&
              e->header.tag < NET_TAGS && !e->header.bytes == !envelope->reference,
          "rank %d sent a header that makes no sense (from %d to %d, tag %d, %llu bytes): do all "
          "ranks run the same program?",
          from, e->header.from, e->header.to, e->header.tag, (unsigned long long)e->header.bytes);
    e->reference = envelope->reference;
    if (e->reference && m->local[from])
        e->data = segment_resolve(m->segment, from, envelope);
    list_append(&m->inbox, &e->link);
    for (struct link *l = m->posted.next; l != &m->posted; l = l->next)
        if (fits(request_of(l), e)) {
            match(m, request_of(l), e);
            return;
        }
}

void matching_handle(struct matching *m, int from, const struct envelope *e)
{
    struct request *r;
    switch (e->kind) {
    case ENVELOPE_MESSAGE:
        handle_message(m, from, e);
        break;
    case ENVELOPE_EARLY:
        handle_early(m, from, e);
        break;
    case ENVELOPE_READY:
        r = referenced_send(m, from, e);
        CHECK(!r->outgoing.bytes, "rank %d asks twice for one payload", from);
        /* MPI takes it as constant. */
        r->outgoing = (struct moving){.at = (char *)(uintptr_t)r->payload,
                                      .bytes = r->capacity,
                                      .ready = r->ready,
                                      .peer = from,
                                      .channel = e->channel,
                                      .out = true};
        transport_start(m->transport, &r->outgoing);
        break;
    case ENVELOPE_RELEASED:
        r = referenced_send(m, from, e);
        r->released = true;
        m->references--;
        break;
    default:
        CHECK(false, "rank %d sent an envelope of kind %d: do all ranks run the same program?",
              from, e->kind);
    }
}

void matching_check_complete(struct matching *m)
{
    for (struct link *l = m->inbox.next; m->arriving && l != &m->inbox; l = l->next) {
        struct message *e = message_of(l);
        if (e->place != ARRIVING || e->incoming.moved < e->incoming.bytes)
            continue;
        e->place = ARRIVED;
        m->arriving--;
        m->changed = true;
        if (e->receive)
            deliver(m, e);
    }
}

/* Whether an earlier message of this tag from this rank is not done yet. */
static bool must_wait(const struct matching *m, const struct message *e)
{
    for (struct link *l = e->link.prev; l != &m->inbox; l = l->prev)
        if (message_of(l)->header.from == e->header.from &&
            message_of(l)->header.tag == e->header.tag)
            return true;
    return false;
}

void matching_publish(struct matching *m)
{
    if (!m->changed)
        return;
    m->changed = false;
    for (struct link *l = m->inbox.next, *next; l != &m->inbox; l = next) {
        struct message *e = message_of(l);
        next = l->next;
        if (!e->receive || e->place != ARRIVED || must_wait(m, e))
            continue;
        list_remove(&e->link);
        list_remove(&e->receive->link);
        e->receive->done = true;
        m->net->received_messages++;
        m->net->received_bytes += (int64_t)(sizeof e->header + e->header.bytes);
    }
}

/* Waits for the rest of a payload whose pieces are on their way into a buffer that its owner wants
 * back. */
static void finish_arriving(struct matching *m, struct message *e)
{
    size_t before = e->incoming.moved;
    for (int64_t idle = 0; e->incoming.moved < e->incoming.bytes; idle++) {
        CHECK(idle < PATIENCE_S * (int64_t)20000,
              "rank %d does not send the rest of a payload (%zu of %zu bytes came)", e->header.from,
              e->incoming.moved, e->incoming.bytes);
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
        transport_advance(m->transport);
        if (e->incoming.moved != before)
            idle = 0;
        before = e->incoming.moved;
    }
}

/* Takes a message that is not done from its receive; what lies in the receive's buffer is saved. */
static void unmatch(struct matching *m, struct message *e)
{
    const void *into = e->receive->into;
    if (into && e->data == into && e->header.bytes) {
        if (e->place == ARRIVING) {
            finish_arriving(m, e);
            e->place = ARRIVED;
            m->arriving--;
        }
        e->buffer = buffer_take(&m->pools, e->header.bytes);
        memcpy(e->buffer->at, into, e->header.bytes);
        e->data = e->buffer->at;
    }
    e->receive->message = NULL;
    e->receive = NULL;
}

/* As if r had never been posted: messages of its tag that are not done are matched anew with the
 * other receives, in order. */
static void cancel_receive(struct matching *m, struct request *r)
{
    list_remove(&r->link);
    if (!r->message)
        return;
    int from = r->message->header.from;
    for (struct link *l = &r->message->link; l != &m->inbox; l = l->next) {
        struct message *e = message_of(l);
        if (e->receive && e->header.from == from && e->header.tag == r->tag)
            unmatch(m, e);
    }
    for (struct link *l = m->posted.next; l != &m->posted; l = l->next)
        if (!request_of(l)->message)
            match_receive(m, request_of(l));
}

void matching_release(struct matching *m, struct request *r)
{
    assert(r->in_use && "released twice");
    if (r->sends) {
        assert(matching_done(r) && "a send was released before it was done");
    } else if (r->done) {
        release_payload(m, r->message);
        message_give_buffer(r->message);
        message_free(&m->pools, r->message);
    } else {
        cancel_receive(m, r);
    }
    request_free(&m->pools, r);
}

bool matching_done(const struct request *r)
{
    return r->sends ? r->released && r->outgoing.moved == r->outgoing.bytes : r->done;
}

int matching_references(const struct matching *m)
{
    return m->references;
}

const struct header *matching_header(const struct request *r)
{
    assert(!r->sends && r->done && "only a receive that is done has a header");
    return &r->message->header;
}

const void *matching_data(const struct request *r)
{
    assert(!r->sends && r->done && "only a receive that is done has a payload");
    return r->message->data;
}

struct net_passage matching_passage(const struct matching *m, const struct request *r)
{
    const struct moving *out = &r->outgoing;
    if (!r->sends)
        return (struct net_passage){r->done ? r->message->header.sent_s : INFINITY, INFINITY};
    if (r->peer == NET_ANY || m->local[r->peer])
        return (struct net_passage){-INFINITY, -INFINITY};
    if (out->moved < r->capacity)
        return (struct net_passage){-INFINITY, INFINITY};
    return (struct net_passage){-INFINITY,
                                net_now(m->net) - 1e-9 * (double)(clock_ns() - out->moved_ns)};
}
