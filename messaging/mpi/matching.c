/* Two lists in order: receives posted and not done, messages arrived and not done. Both are short
 * (what a scheme has under way), so they are walked. A message from this host lies in its sender's
 * memory and needs at most a copy. One from another host stays there until a receive meets it; then
 * its pieces go straight to the receive's buffer, or to memory kept here for borrowing. One that
 * was begun before it was ready is fetched at once, to memory kept here, and stands in a list of
 * its own until its mail comes and makes it a message. */
#define _GNU_SOURCE
#include "messaging/mpi/matching.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/list.h"

enum { TAGS = 64, PATIENCE_S = 60, SPARE_ROOM = 64 };

enum place {       /* of a message's payload */
             AWAY, /* at the sender's, on another host */
             COMING,
             HERE, /* where data points; a message without payload is always here */
};

struct message {
    struct header header;
    enum place place;
    uint32_t reference; /* the sender's number for it; 0 when nothing is owed, or no more */
    int channel;        /* of its pieces: no two messages that are alive share one */
    const void *data;
    struct spare *kept; /* our memory, where data points */
    struct moving coming;
    struct request *taker;
    struct link link; /* in the inbox, among the early ones, or in the list of spare messages */
};

struct request {
    const struct net_world *world; /* first: net_header() and net_data() know the world by it */
    bool sends, done, in_use;      /* done: of a receive, published */
    bool grows;                    /* a send that was begun and is not sealed */
    int peer, tag;                 /* NET_ANY: any peer */
    void *into;                    /* receive */
    size_t capacity;
    struct message *message;
    uint32_t number; /* send: its place in the table */
    bool released;
    const void *payload;
    size_t ready; /* from here on the payload is final */
    struct moving going;
    struct link link; /* among the posted receives, or the spare requests */
};

struct spare { /* memory for payloads that are borrowed from another host; kept for the next one */
    void *at;
    size_t bytes;
    bool taken;
};

struct matching {
    struct net *net;
    struct segment *segment;
    struct transport *transport;
    const bool *local;
    struct link posted, inbox, early, spare_requests, spare_messages;
    struct request **table; /* from 1 on; so that an envelope can name a send */
    uint32_t numbers, room;
    struct spare **spare;
    int spares, spare_room;
    int channels, coming, references;
    bool fresh;
};

struct matching *matching_open(struct net *net, struct segment *segment,
                               struct transport *transport, const bool *local)
{
    struct matching *m = xcalloc(1, sizeof *m);
    *m = (struct matching){.net = net, .segment = segment, .transport = transport, .local = local};
    list_clear(&m->posted);
    list_clear(&m->inbox);
    list_clear(&m->early);
    list_clear(&m->spare_requests);
    list_clear(&m->spare_messages);
    return m;
}

static struct message *message_of(struct link *link)
{
    return container_of(struct message, link, link);
}

static struct request *request_of(struct link *link)
{
    return container_of(struct request, link, link);
}

static void forget(struct link *messages)
{
    for (struct link *l; (l = list_first(messages));) {
        list_remove(l);
        xfree(message_of(l));
    }
}

void matching_close(struct matching *m)
{
    forget(&m->inbox);
    forget(&m->early);
    forget(&m->spare_messages);
    for (uint32_t i = 1; i <= m->numbers; i++) {
        if (m->table[i]->in_use && m->table[i]->done)
            xfree(m->table[i]->message); /* a receive that was done and never dropped */
        xfree(m->table[i]);
    }
    for (int i = 0; i < m->spares; i++) {
        xfree(m->spare[i]->at);
        xfree(m->spare[i]);
    }
    xfree(m->table);
    xfree(m->spare);
    xfree(m);
}

static struct request *new_request(struct matching *m)
{
    struct link *spare = list_first(&m->spare_requests);
    struct request *r = spare ? request_of(spare) : NULL;
    if (r) {
        list_remove(&r->link);
    } else {
        if (m->numbers + 1 >= m->room) {
            m->room = m->room ? 2 * m->room : 64;
            struct request **table = xcalloc(m->room, sizeof *table);
            for (uint32_t i = 1; i <= m->numbers; i++)
                table[i] = m->table[i];
            xfree(m->table);
            m->table = table;
        }
        r = xcalloc(1, sizeof *r);
        r->number = ++m->numbers;
        m->table[r->number] = r;
    }
    *r = (struct request){.world = m->net->world, .number = r->number, .in_use = true};
    return r;
}

static void free_request(struct matching *m, struct request *r)
{
    r->in_use = false;
    list_append(&m->spare_requests, &r->link);
}

static struct message *new_message(struct matching *m)
{
    struct link *spare = list_first(&m->spare_messages);
    if (!spare) {
        struct message *e = xcalloc(1, sizeof *e);
        e->channel = m->channels++;
        return e;
    }
    struct message *e = message_of(spare);
    list_remove(spare);
    *e = (struct message){.channel = e->channel};
    return e;
}

/* The smallest spare block that is large enough, or a new one: after the first round of a scheme
 * nothing is allocated. */
static struct spare *take_spare(struct matching *m, size_t bytes)
{
    struct spare *best = NULL;
    for (int i = 0; i < m->spares; i++) {
        struct spare *s = m->spare[i];
        if (!s->taken && s->bytes >= bytes && (!best || s->bytes < best->bytes))
            best = s;
    }
    if (!best) {
        if (m->spares == m->spare_room) {
            struct spare **list = xcalloc((size_t)(m->spare_room + SPARE_ROOM), sizeof *list);
            for (int i = 0; i < m->spares; i++)
                list[i] = m->spare[i];
            xfree(m->spare);
            m->spare = list;
            m->spare_room += SPARE_ROOM;
        }
        best = m->spare[m->spares++] = xcalloc(1, sizeof *best);
        *best = (struct spare){.at = xcalloc(bytes, 1), .bytes = bytes};
    }
    best->taken = true;
    return best;
}

static void give_spare(struct message *e)
{
    if (e->kept)
        e->kept->taken = false;
    e->kept = NULL;
}

static void post(struct matching *m, int to, const struct envelope *e)
{
    if (m->local[to])
        segment_put(m->segment, to, e);
    else
        transport_put(m->transport, to, e);
}

static void repay(struct matching *m, struct message *e)
{
    if (e->reference)
        post(m, e->header.from,
             &(struct envelope){.kind = ENVELOPE_RELEASED, .reference = e->reference});
    e->reference = 0;
}

/* The payload is here and the receive wants it in its own buffer. */
static void deliver(struct matching *m, struct message *e)
{
    void *into = e->taker->into;
    if (!into)
        return;
    if (e->data != into && e->header.bytes)
        memcpy(into, e->data, e->header.bytes);
    e->data = into;
    give_spare(e);
    repay(m, e);
}

/* Lets the pieces come: to `into`, or to memory kept here (NULL). */
static void fetch(struct matching *m, struct message *e, void *into)
{
    if (!into) {
        e->kept = take_spare(m, e->header.bytes);
        into = e->kept->at;
    }
    e->data = into;
    e->coming = (struct moving){
        .at = into, .bytes = e->header.bytes, .peer = e->header.from, .channel = e->channel};
    e->place = COMING;
    transport_move(m->transport, &e->coming);
    post(m, e->header.from,
         &(struct envelope){
             .kind = ENVELOPE_READY, .reference = e->reference, .channel = e->channel});
}

static void meet(struct matching *m, struct request *r, struct message *e)
{
    CHECK(!r->into || e->header.bytes <= r->capacity,
          "rank %d sent %llu bytes with tag %d to a receive for %zu", e->header.from,
          (unsigned long long)e->header.bytes, e->header.tag, r->capacity);
    r->message = e;
    e->taker = r;
    if (e->place == AWAY) {
        fetch(m, e, r->into);
        m->coming++;
    } else if (e->place == HERE) {
        deliver(m, e);
    }
    m->fresh = true;
}

static bool fits(const struct request *r, const struct message *e)
{
    return !r->message && !e->taker && r->tag == e->header.tag &&
           (r->peer == NET_ANY || r->peer == e->header.from);
}

static void seek(struct matching *m, struct request *r)
{
    for (struct link *l = m->inbox.next; l != &m->inbox; l = l->next)
        if (fits(r, message_of(l))) {
            meet(m, r, message_of(l));
            return;
        }
}

struct request *matching_recv(struct matching *m, int from, int tag, void *into, size_t capacity)
{
    struct request *r = new_request(m);
    r->peer = from;
    r->tag = tag;
    r->into = into;
    r->capacity = capacity;
    list_append(&m->posted, &r->link);
    seek(m, r);
    return r;
}

static struct request *lend(struct matching *m, int to, const void *payload, size_t bytes)
{
    struct request *r = new_request(m);
    r->sends = true;
    r->peer = to;
    r->payload = payload;
    r->capacity = bytes;
    m->references++;
    return r;
}

static void tell(struct matching *m, int to, const struct header *head,
                 const struct request *reference)
{
    struct envelope e = {.header = *head, .kind = ENVELOPE_MESSAGE};
    e.header.from = m->net->rank;
    e.header.to = to;
    e.header.bytes = reference ? reference->capacity : 0;
    e.header.sent_s = net_now(m->net);
    m->net->sent_messages++;
    m->net->sent_bytes += (int64_t)(sizeof e.header + e.header.bytes);
    if (reference) {
        bool ours = segment_show(m->segment, reference->payload, reference->capacity, &e);
        assert(ours && "a payload must lie in memory of net_alloc()");
        e.reference = reference->number;
    }
    post(m, to, &e);
}

struct request *matching_send(struct matching *m, int to, const struct header *head,
                              const void *payload, size_t bytes)
{
    struct request *r = bytes ? lend(m, to, payload, bytes) : NULL;
    tell(m, to, head, r);
    return r;
}

/* Within a host the payload stays where it is, so there is nothing to begin. */
struct request *matching_begin(struct matching *m, int to, int tag, const void *payload,
                               size_t bytes)
{
    struct request *r = lend(m, to, payload, bytes);
    struct header announced = {.from = m->net->rank, .to = to, .tag = tag, .bytes = bytes};
    r->tag = tag;
    r->grows = true;
    r->ready = bytes;
    if (!m->local[to])
        post(m, to,
             &(struct envelope){
                 .header = announced, .kind = ENVELOPE_EARLY, .reference = r->number});
    return r;
}

void matching_grow(struct matching *m, struct request *r, size_t from, const struct header *head)
{
    assert(r->in_use && r->grows && "only what was begun grows, until it is sealed");
    assert(from <= r->ready && (!head || head->tag == r->tag));
    r->ready = r->going.ready = from;
    if (r->going.bytes)
        transport_move(m->transport, &r->going);
    r->grows = !head;
    if (head)
        tell(m, r->peer, head, r);
}

/* A send to nobody in particular: nothing is lent, its payload is what moves. */
struct request *matching_sum(struct matching *m, int first, float *vector, int64_t count)
{
    struct request *r = new_request(m);
    r->sends = r->released = true;
    r->peer = NET_ANY;
    r->going =
        (struct moving){.at = (char *)vector, .bytes = (size_t)count * sizeof *vector, .out = true};
    transport_sum(m->transport, first, &r->going);
    return r;
}

static struct request *lender(struct matching *m, int from, const struct envelope *e)
{
    bool known = e->reference > 0 && e->reference <= m->numbers;
    struct request *r = known ? m->table[e->reference] : NULL;
    CHECK(r && r->in_use && r->sends && r->peer == from && !r->released,
          "rank %d speaks of a send (number %u) that is not under way", from, e->reference);
    return r;
}

/* A payload whose mail is still to come: there is room for it, and it is not more than the sender's
 * few requests. */
static void arrive_early(struct matching *m, int from, const struct envelope *envelope)
{
    CHECK(!m->local[from] && envelope->header.from == from && envelope->header.tag >= 0 &&
              envelope->header.tag < TAGS && envelope->header.bytes && envelope->reference,
          "rank %d begins a payload that makes no sense (%llu bytes): do all ranks run the same "
          "program?",
          from, (unsigned long long)envelope->header.bytes);
    struct message *e = new_message(m);
    e->header = envelope->header;
    e->reference = envelope->reference;
    fetch(m, e, NULL);
    list_append(&m->early, &e->link);
}

/* The message whose mail has come now: one that was begun early, or a new one. */
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
        if (e->coming.moved == e->coming.bytes)
            e->place = HERE;
        else
            m->coming++;
        return e;
    }
    struct message *e = new_message(m);
    e->place = envelope->reference && !m->local[from] ? AWAY : HERE;
    return e;
}

static void arrive(struct matching *m, int from, const struct envelope *envelope)
{
    struct message *e = message_for(m, from, envelope);
    e->header = envelope->header;
    CHECK(e->header.from == from && e->header.to == m->net->rank && e->header.tag >= 0 &&
              e->header.tag < TAGS && !e->header.bytes == !envelope->reference,
          "rank %d sent a head that makes no sense (from %d to %d, tag %d, %llu bytes): do all "
          "ranks run the same program?",
          from, e->header.from, e->header.to, e->header.tag, (unsigned long long)e->header.bytes);
    e->reference = envelope->reference;
    if (e->reference && m->local[from])
        e->data = segment_see(m->segment, from, envelope);
    list_append(&m->inbox, &e->link);
    for (struct link *l = m->posted.next; l != &m->posted; l = l->next)
        if (fits(request_of(l), e)) {
            meet(m, request_of(l), e);
            return;
        }
}

void matching_hear(struct matching *m, int from, const struct envelope *e)
{
    struct request *r;
    switch (e->kind) {
    case ENVELOPE_MESSAGE:
        arrive(m, from, e);
        break;
    case ENVELOPE_EARLY:
        arrive_early(m, from, e);
        break;
    case ENVELOPE_READY:
        r = lender(m, from, e);
        CHECK(!r->going.bytes, "rank %d asks twice for one payload", from);
        /* MPI takes it as constant again. */
        r->going = (struct moving){.at = (char *)(uintptr_t)r->payload,
                                   .bytes = r->capacity,
                                   .ready = r->ready,
                                   .peer = from,
                                   .channel = e->channel,
                                   .out = true};
        transport_move(m->transport, &r->going);
        break;
    case ENVELOPE_RELEASED:
        r = lender(m, from, e);
        r->released = true;
        m->references--;
        break;
    default:
        CHECK(false, "rank %d sent an envelope of kind %d: do all ranks run the same program?",
              from, e->kind);
    }
}

void matching_settle(struct matching *m)
{
    for (struct link *l = m->inbox.next; m->coming && l != &m->inbox; l = l->next) {
        struct message *e = message_of(l);
        if (e->place != COMING || e->coming.moved < e->coming.bytes)
            continue;
        e->place = HERE;
        m->coming--;
        m->fresh = true;
        if (e->taker)
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
    if (!m->fresh)
        return;
    m->fresh = false;
    for (struct link *l = m->inbox.next, *next; l != &m->inbox; l = next) {
        struct message *e = message_of(l);
        next = l->next;
        if (!e->taker || e->place != HERE || must_wait(m, e))
            continue;
        list_remove(&e->link);
        list_remove(&e->taker->link);
        e->taker->done = true;
        m->net->received_messages++;
        m->net->received_bytes += (int64_t)(sizeof e->header + e->header.bytes);
    }
}

/* Waits for the rest of a payload whose pieces are on their way into a buffer that its owner wants
 * back. */
static void sit_out(struct matching *m, struct message *e)
{
    size_t before = e->coming.moved;
    for (int64_t idle = 0; e->coming.moved < e->coming.bytes; idle++) {
        CHECK(idle < PATIENCE_S * (int64_t)20000,
              "rank %d does not send the rest of a payload (%zu of %zu bytes came)", e->header.from,
              e->coming.moved, e->coming.bytes);
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
        transport_advance(m->transport);
        if (e->coming.moved != before)
            idle = 0;
        before = e->coming.moved;
    }
}

/* Takes a message that is not done from its receive; what lies in the receive's buffer is saved. */
static void unmeet(struct matching *m, struct message *e)
{
    const void *into = e->taker->into;
    if (into && e->data == into && e->header.bytes) {
        if (e->place == COMING) {
            sit_out(m, e);
            e->place = HERE;
            m->coming--;
        }
        e->kept = take_spare(m, e->header.bytes);
        memcpy(e->kept->at, into, e->header.bytes);
        e->data = e->kept->at;
    }
    e->taker->message = NULL;
    e->taker = NULL;
}

/* As if r had never been posted: messages of its tag that are not done meet the other receives
 * anew, in order. */
static void take_back(struct matching *m, struct request *r)
{
    list_remove(&r->link);
    if (!r->message)
        return;
    int from = r->message->header.from;
    for (struct link *l = &r->message->link; l != &m->inbox; l = l->next) {
        struct message *e = message_of(l);
        if (e->taker && e->header.from == from && e->header.tag == r->tag)
            unmeet(m, e);
    }
    for (struct link *l = m->posted.next; l != &m->posted; l = l->next)
        if (!request_of(l)->message)
            seek(m, request_of(l));
}

void matching_drop(struct matching *m, struct request *r)
{
    assert(r->in_use && "dropped twice");
    if (r->sends) {
        assert(matching_done(r) && "a send was dropped before it was done");
    } else if (r->done) {
        repay(m, r->message);
        give_spare(r->message);
        list_append(&m->spare_messages, &r->message->link);
    } else {
        take_back(m, r);
    }
    free_request(m, r);
}

bool matching_done(const struct request *r)
{
    return r->sends ? r->released && r->going.moved == r->going.bytes : r->done;
}

int matching_loans(const struct matching *m)
{
    return m->references;
}

const struct header *matching_header(const struct request *r)
{
    assert(!r->sends && r->done && "only a receive that is done has a head");
    return &r->message->header;
}

const void *matching_data(const struct request *r)
{
    assert(!r->sends && r->done && "only a receive that is done has a payload");
    return r->message->data;
}
