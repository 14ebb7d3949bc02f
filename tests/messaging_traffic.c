/* Random traffic, matched by construction: what everybody sends to everybody in a round, and how it
 * is received, is a pure function of (seed, round, from, to), so both sides know it. Heads alone
 * and up to 3 MiB, sent whole or as they become ready, copied and borrowed, posted early and late,
 * waited for in any order, by rank and from any; references last for random times. */
#include "tests/messaging_bench.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"

enum { MOST = 3, TAGS = 5, TAG_ANY = 4, ANY_TAGS = 40, LARGEST = 3 << 20, ITEMS = 4096 };

struct plan {
    int tag;
    size_t bytes;
    bool into;     /* how it is received, unless its tag is TAG_ANY */
    bool grows;    /* sent as it becomes ready */
    double hold_s; /* how long a payload is referenced */
};

static int plan_at(const struct bench *b, int round, int from, int to, struct plan list[MOST])
{
    if (from == to)
        return 0;
    struct random random =
        random_at(RANDOM_TEST, b->seed, (uint64_t)round, (uint64_t)from, (uint64_t)to);
    int count = (int)random_below(&random, MOST + 1);
    for (int i = 0; i < count; i++) {
        static const size_t most[] = {1, 1, 1, 100, 100, 70000, 70000, LARGEST};
        list[i].tag = (int)random_below(&random, TAGS);
        list[i].bytes = random_below(&random, most[random_below(&random, 8)]);
        list[i].into = random_below(&random, 2);
        list[i].grows = random_below(&random, 3) == 0;
        list[i].hold_s = random_below(&random, 4) ? 0 : 0.01 * random_uniform(&random);
    }
    return count;
}

struct item { /* a request of a round */
    bool sends, held;
    int from, tag, nth; /* nth receive of its (from, tag) */
    double hold_s;
    int met; /* whose message came, and when it is to be released */
    int64_t version;
    double drop_s;
};

struct round {
    int number, count, open, any;
    struct request *request[ITEMS];
    struct item item[ITEMS];
    char *out, *in;
    size_t in_used;
};

static int64_t version_at(int round, int nth)
{
    return 100 * (int64_t)round + nth;
}

/* A receive from any rank must not meet a message of a rank that is some rounds ahead. */
static int tag_of(const struct plan *p, int round)
{
    return p->tag == TAG_ANY ? TAG_ANY + round % ANY_TAGS : p->tag;
}

static void put(struct round *r, struct request *request, struct item item)
{
    r->request[r->count] = request;
    r->item[r->count++] = item;
    r->open++;
}

/* Posts the receives of what `from` sends, those of the tags that come early or those of the
 * others. */
static void post_receives(struct bench *b, struct round *r, int from, bool early)
{
    struct plan plan[MOST];
    int count = plan_at(b, r->number, from, b->net->rank, plan), nth[TAGS] = {0};
    for (int i = 0; i < count; i++) {
        const struct plan *p = &plan[i];
        bool any = p->tag == TAG_ANY;
        size_t room = any ? LARGEST : p->bytes;
        struct item item = {.from = any ? NET_ANY : from,
                            .tag = tag_of(p, r->number),
                            .nth = nth[p->tag]++,
                            .hold_s = p->hold_s};
        struct random when = random_at(RANDOM_TEST, b->seed, (uint64_t)r->number,
                                       (uint64_t)(from + 1000 * b->net->rank), (uint64_t)p->tag);
        if ((random_below(&when, 2) == 0) != early)
            continue;
        if (any)
            item.nth = r->any++;
        put(r,
            net_recv(b->net, item.from, item.tag, p->into ? r->in + r->in_used : NULL,
                     p->into ? room : 0),
            item);
        r->in_used += p->into ? (room + 63) / 64 * 64 : 0;
    }
}

/* Sends what becomes ready from its end down, and may move meanwhile; until then there is something
 * else in its place. */
static struct request *send_growing(struct bench *b, int to, const struct header *header,
                                    char *payload, size_t bytes)
{
    uint64_t key = bench_key(b->net->rank, to, header->tag, header->version);
    struct random random = random_at(RANDOM_TEST, b->seed, key, 2000000, 0);
    memset(payload, '#', bytes);
    struct request *request = net_send_begin(b->net, to, header->tag, payload, bytes);
    for (size_t ready = bytes, from; ready > 0; ready = from) {
        from = random_below(&random, ready) / 8 * 8;
        bench_fill(payload + from, ready - from, key + from);
        net_send_ready(b->net, request, from);
        if (random_below(&random, 2))
            net_advance(b->net, 0.001 * random_uniform(&random));
    }
    net_send_commit(b->net, request, header);
    return request;
}

struct traffic_note { /* the whole body */
    int64_t word[HEADER_BODY / sizeof(int64_t)];
};

static struct traffic_note traffic_note_at(int64_t version)
{
    struct traffic_note note = {0};
    for (size_t i = 0; i < sizeof note.word / sizeof *note.word; i++)
        note.word[i] = version * (int64_t)(3 + i);
    return note;
}

static void send_all(struct bench *b, struct round *r)
{
    size_t used = 0;
    for (int k = 1; k < b->net->ranks; k++) {
        struct plan plan[MOST];
        int to = (b->net->rank + k) % b->net->ranks, nth[TAGS] = {0};
        int count = plan_at(b, r->number, b->net->rank, to, plan);
        for (int i = 0; i < count; i++) {
            struct plan *p = &plan[i];
            struct header header = {
                .tag = tag_of(p, r->number), .flags = ~r->number, .count = (int64_t)p->bytes};
            header.version = version_at(r->number, nth[p->tag]++);
            const struct traffic_note note = traffic_note_at(header.version);
            header_pack(&header, note);
            struct request *request;
            if (p->bytes && p->grows) {
                request = send_growing(b, to, &header, r->out + used, p->bytes);
            } else {
                bench_fill(r->out + used, p->bytes,
                           bench_key(b->net->rank, to, header.tag, header.version));
                request = net_send(b->net, to, &header, p->bytes ? r->out + used : NULL, p->bytes);
            }
            EXPECT(b, !request == !p->bytes, "a send of %zu bytes returned %p", p->bytes,
                   (void *)request);
            if (request)
                put(r, request, (struct item){.sends = true});
            used += (p->bytes + 63) / 64 * 64;
        }
    }
}

static bool same_line(const struct item *a, const struct item *b)
{
    return !a->sends && !b->sends && a->from == b->from && a->tag == b->tag;
}

static void check_received(struct bench *b, struct round *r, int i)
{
    struct item *item = &r->item[i];
    const struct header *header = net_header(r->request[i]);
    item->met = header->from;
    item->version = header->version;
    EXPECT(b,
           header->to == b->net->rank && header->tag == item->tag &&
               (item->from == NET_ANY || header->from == item->from),
           "a message from %d to %d with tag %d came to a receive from %d with tag %d",
           header->from, header->to, header->tag, item->from, item->tag);
    struct traffic_note note, expected = traffic_note_at(header->version);
    header_unpack(header, note);
    EXPECT(b,
           header->flags == ~r->number && header->count == (int64_t)header->bytes &&
               !memcmp(&note, &expected, sizeof note),
           "a head was changed on its way");
    EXPECT(b, header->sent_s > 0 && header->sent_s < net_now(b->net) + 0.1,
           "sent at %g, received at %g", header->sent_s, net_now(b->net));
    EXPECT(b, item->from == NET_ANY || header->version == version_at(r->number, item->nth),
           "rank %d, tag %d: receive %d got version %" PRId64, header->from, header->tag, item->nth,
           header->version);
    for (int k = 0; k < r->count && item->from != NET_ANY; k++)
        if (r->request[k] && same_line(&r->item[k], item) && r->item[k].nth < item->nth)
            EXPECT(b, net_wait(b->net, &r->request[k], 1, 0) == 0,
                   "rank %d, tag %d: message %d is done before message %d", item->from, item->tag,
                   item->nth, r->item[k].nth);
    bench_check(b, header, net_data(r->request[i]));
}

/* What one rank sent to the receives from any rank met them in the order they were posted. */
static void check_any(struct bench *b, const struct round *r)
{
    for (int i = 0; i < r->count; i++)
        for (int k = 0; k < r->count && !r->item[i].sends && r->item[i].from == NET_ANY; k++)
            if (same_line(&r->item[i], &r->item[k]) && r->item[i].met == r->item[k].met)
                EXPECT(b,
                       (r->item[i].nth < r->item[k].nth) ==
                           (r->item[i].version < r->item[k].version),
                       "rank %d, any tag: receives %d and %d got versions %" PRId64 " and %" PRId64,
                       r->item[i].met, r->item[i].nth, r->item[k].nth, r->item[i].version,
                       r->item[k].version);
}

static void drop(struct bench *b, struct round *r, int i)
{
    net_release(b->net, r->request[i]);
    r->request[i] = NULL;
    r->open--;
}

/* Until nothing is under way. References end when their time has come. */
static void finish(struct bench *b, struct round *r)
{
    struct request *waiting[ITEMS];
    double give_up = net_now(b->net) + DEADLINE_S;
    while (r->open) {
        double until = give_up;
        for (int i = 0; i < r->count; i++) {
            if (r->item[i].held && r->request[i] && net_now(b->net) >= r->item[i].drop_s) {
                bench_check(b, net_header(r->request[i]), net_data(r->request[i]));
                drop(b, r, i);
            }
            waiting[i] = r->item[i].held ? NULL : r->request[i];
            if (r->item[i].held && r->request[i])
                until = fmin(until, r->item[i].drop_s);
        }
        if (!r->open)
            return;
        int i = net_wait(b->net, waiting, r->count, until);
        if (i < 0 && net_now(b->net) >= give_up)
            die(1, "random traffic: %d requests are never done (--seed %" PRIu64 ")", r->open,
                b->seed);
        if (i < 0)
            continue;
        if (r->item[i].sends) {
            drop(b, r, i);
            continue;
        }
        check_received(b, r, i);
        r->item[i].held = true;
        r->item[i].drop_s = net_now(b->net) + r->item[i].hold_s;
    }
}

/* The order in which requests are in the list that is waited for is nobody's promise. */
static void shuffle(struct round *r, struct random *random)
{
    for (int i = r->count - 1; i > 0; i--) {
        int j = (int)random_below(random, (uint64_t)i + 1);
        struct request *request = r->request[i];
        struct item item = r->item[i];
        r->request[i] = r->request[j];
        r->item[i] = r->item[j];
        r->request[j] = request;
        r->item[j] = item;
    }
}

static void one_round(struct bench *b, struct round *r)
{
    struct random random =
        random_at(RANDOM_TEST, b->seed, (uint64_t)r->number, (uint64_t)b->net->rank, 1000000);
    r->count = r->any = 0;
    r->in_used = 0;
    for (int from = 0; from < b->net->ranks; from++)
        post_receives(b, r, from, true);
    if (!random_below(&random, 4))
        net_advance(b->net, 0.005 * random_uniform(&random));
    send_all(b, r);
    for (uint64_t polls = random_below(&random, 3); polls; polls--)
        net_poll(b->net);
    for (int from = 0; from < b->net->ranks; from++)
        post_receives(b, r, from, false);
    shuffle(r, &random);
    finish(b, r);
    check_any(b, r);
}

void messaging_traffic(void **state)
{
    struct bench *b = *state;
    struct round *r = xcalloc(1, sizeof *r);
    size_t room = (size_t)b->net->ranks * MOST * (LARGEST + 64);
    r->out = net_alloc(b->net, room);
    r->in = xcalloc(room, 1);
    for (r->number = 0; r->number < b->rounds; r->number++)
        one_round(b, r);
    net_free(b->net, r->out);
    xfree(r->in);
    xfree(r);
    bench_verdict(b);
}
