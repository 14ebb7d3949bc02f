/* Simulated networks whose links differ: pairs, ranks and hosts of their own, copies within a host,
 * jitter, order.
 *
 * A case is a list of messages; when each arrives is compared to the last bit, every time being a
 * small multiple of a power of two. */
#include "messaging/messaging.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/random.h"
#include "tests/death_test.h"
#include "tests/rank_log.h"

enum { MOST = 8, TAG = 5 };

#define KIND(latency, bandwidth_)                                                                  \
    ((struct link_kind){.latency_s = (latency), .bandwidth = (bandwidth_)})
#define USUAL KIND(L, BANDWIDTH)

struct message {
    double at_s;
    int from, to;
    size_t bytes;
};

struct plan {
    const struct message *list;
    int count;
    double arrived_s[MOST];
};

/* Each message has a tag of its own, so that none waits for another. */
static void plan_body(struct net *net, void *argument)
{
    struct plan *plan = argument;
    struct request *sent[MOST] = {NULL}, *got[MOST] = {NULL};
    void *payload = net_alloc(net, 5 * BYTES);
    int next = 0, left = 0;
    for (int i = 0; i < plan->count; i++)
        if (plan->list[i].to == net->rank) {
            got[i] = net_recv(net, plan->list[i].from, i, NULL, 0);
            left++;
        }
    while (left || next < plan->count) {
        while (next < plan->count && plan->list[next].from != net->rank)
            next++;
        const struct message *m = next < plan->count ? &plan->list[next] : NULL;
        int index = left || m ? net_wait(net, got, plan->count, m ? m->at_s : INFINITY) : -1;
        if (index >= 0) {
            plan->arrived_s[index] = net_now(net);
            net_release(net, got[index]);
            got[index] = NULL;
            left--;
        } else if (m) {
            sent[next] = net_send(net, m->to, &(struct header){.tag = next}, payload, m->bytes);
            next++;
        }
    }
    for (int i = 0; i < plan->count; i++)
        if (sent[i])
            wait_sent(net, sent[i]);
    net_free(net, payload);
}

static void arrive(const char *file, int line, int ranks, const struct links *links,
                   const struct message *list, int count, const double *want)
{
    struct plan plan = {.list = list, .count = count};
    struct world_options options = {.ranks = ranks, .links = links};
    struct rank_log notes = {0};
    sim_run(&options, plan_body, &plan);
    for (int i = 0; i < count; i++)
        log_value(&notes, plan.arrived_s[i]);
    expect_log(file, line, &notes, count, want);
}

#define ARRIVE(ranks, links, list, ...)                                                            \
    do {                                                                                           \
        const double want[] = {__VA_ARGS__};                                                       \
        _Static_assert(sizeof want / sizeof *want == sizeof list / sizeof *list,                   \
                       "a time for each message");                                                 \
        arrive(__FILE__, __LINE__, ranks, links, list, sizeof list / sizeof *list, want);          \
    } while (0)

static void test_a_pair_has_its_latency(void **state)
{
    (void)state;
    const struct link_pair pair[] = {{0, 1, KIND(8 * L, 0)}};
    const struct links links = {
        .between = USUAL, .ranks_per_host = 1, .pair = pair, .pair_count = 1};
    const struct message list[] = {
        {0, 0, 1, 0}, {0, 1, 0, 0}, {1, 0, 1, BYTES}, {1, 1, 0, BYTES}, {2, 0, 2, BYTES}};
    /* one direction alone */
    ARRIVE(3, &links, list, 8 * L + H, L + H, 1 + 8 * L + T, 1 + L + T, 2 + L + T);
}

/* The slow link takes its time; what its two messages cannot take of the sender's port and of the
 * receiver's others have. */
static void test_a_pair_has_its_bandwidth(void **state)
{
    (void)state;
    const struct link_pair pair[] = {{0, 1, KIND(L, BANDWIDTH / 8)}};
    const struct links links = {
        .between = USUAL, .ranks_per_host = 1, .pair = pair, .pair_count = 1};
    const struct message list[] = {
        {0, 0, 1, BYTES}, {0, 0, 1, BYTES}, {0, 0, 2, BYTES}, {T, 2, 1, BYTES}};
    ARRIVE(3, &links, list, L + 16 * T, L + 16 * T, L + T / 0.75, T + L + T / 0.75);
    const struct message fast[] = {{0, 1, 0, BYTES}};
    ARRIVE(3, &links, fast, L + T);
}

static void test_a_rank_has_its_port(void **state)
{
    (void)state;
    const struct link_rank rank[] = {{1, BANDWIDTH / 4}, {2, BANDWIDTH / 4}, {99, 1}};
    const struct links links = {
        .between = USUAL, .ranks_per_host = 1, .rank = rank, .rank_count = 3};
    const struct message out[] = {
        {0, 1, 0, BYTES}, {0, 1, 3, BYTES}, {1, 0, 1, BYTES}, {1, 3, 1, BYTES}};
    /* shared, out and in */
    ARRIVE(4, &links, out, L + 8 * T, L + 8 * T, 1 + L + 8 * T, 1 + L + 8 * T);
    /* three slow receivers leave a fast one half of the port */
    const struct link_rank slow[] = {{1, BANDWIDTH / 4}, {2, BANDWIDTH / 8}, {3, BANDWIDTH / 8}};
    const struct links mixed = {
        .between = USUAL, .ranks_per_host = 1, .rank = slow, .rank_count = 3};
    const struct message unlike[] = {
        {0, 0, 1, BYTES}, {0, 0, 2, BYTES}, {0, 0, 3, BYTES}, {0, 0, 4, BYTES}};
    ARRIVE(5, &mixed, unlike, L + 4 * T, L + 8 * T, L + 8 * T, L + 2 * T);
    const struct message two[] = {{0, 1, 0, BYTES}, {0, 2, 0, BYTES}};
    /* two slow senders fill one fast receiver together */
    ARRIVE(3, &links, two, L + 4 * T, L + 4 * T);
}

static void test_incast_at_a_host(void **state)
{
    (void)state;
    struct links links = {.between = USUAL, .within = USUAL, .ranks_per_host = 2};
    const struct message list[] = {{0, 2, 0, BYTES}, {0, 4, 1, BYTES}, {0, 6, 0, BYTES}};
    /* no port of the host's: only rank 0's is shared */
    ARRIVE(8, &links, list, L + 2 * T, L + T, L + 2 * T);
    links.host_bandwidth = BANDWIDTH;
    ARRIVE(8, &links, list, L + 3 * T, L + 3 * T, L + 3 * T);
    links.host_bandwidth = BANDWIDTH / 4;
    ARRIVE(8, &links, list, L + 12 * T, L + 12 * T, L + 12 * T);
    links.host_bandwidth = 4 * BANDWIDTH;
    ARRIVE(8, &links, list, L + 2 * T, L + T, L + 2 * T);
}

/* What waits at one rank's port does not hold the host's: a rank beside it sends at once. */
static void test_a_host_sends(void **state)
{
    (void)state;
    struct links links = {
        .between = USUAL, .within = USUAL, .ranks_per_host = 2, .host_bandwidth = BANDWIDTH};
    const struct message both[] = {{0, 0, 2, BYTES}, {0, 1, 4, BYTES}};
    ARRIVE(6, &links, both, L + 2 * T, L + 2 * T);
    const struct link_rank rank[] = {{0, BANDWIDTH / 4}};
    links.rank = rank;
    links.rank_count = 1;
    const struct message list[] = {{0, 0, 2, BYTES}, {0, 0, 2, BYTES}, {T, 1, 4, BYTES}};
    ARRIVE(6, &links, list, L + 8 * T, L + 8 * T, L + 3 * T);
    const struct message heads[] = {
        {0, 0, 2, 3 * BYTES}, {T, 1, 4, 0}, {T, 0, 4, 0}}; /* heads overtake at every port */
    links.rank_count = 0;
    ARRIVE(6, &links, heads, L + (double)(3 * BYTES + sizeof(struct header)) / BANDWIDTH + 2 * H,
           T + L + 2 * H, T + L + H);
}

/* Equal messages that share a port end together: two, eight, to one rank and from one. */
static void test_equal_messages_end_together(void **state)
{
    (void)state;
    const struct links links = {.between = USUAL, .ranks_per_host = 1};
    const struct message two[] = {{0, 0, 1, BYTES}, {0, 0, 2, BYTES}};
    ARRIVE(3, &links, two, L + 2 * T, L + 2 * T);
    struct message in[8], out[8];
    for (int i = 0; i < 8; i++) {
        in[i] = (struct message){1, 1 + i, 0, BYTES};
        out[i] = (struct message){1, 0, 1 + i, BYTES};
    }
    const double end = 1 + L + 8 * T;
    ARRIVE(9, &links, in, end, end, end, end, end, end, end, end);
    ARRIVE(9, &links, out, end, end, end, end, end, end, end, end);
    /* both directions at once */
    const struct message duplex[] = {
        {0, 0, 1, BYTES}, {0, 0, 2, BYTES}, {0, 1, 0, BYTES}, {0, 2, 0, BYTES}};
    ARRIVE(3, &links, duplex, L + 2 * T, L + 2 * T, L + 2 * T, L + 2 * T);
}

/* Of T, 2 T and 4 T, header included, the shorter end when all have had as much; one that comes in
 * the middle has an equal part from then on. */
static void test_unequal_messages(void **state)
{
    (void)state;
    enum { ONE = BYTES + sizeof(struct header), HEAD = sizeof(struct header) };
    const struct links links = {.between = USUAL, .ranks_per_host = 1};
    const struct message list[] = {
        {0, 0, 1, ONE - HEAD}, {0, 0, 2, 2 * ONE - HEAD}, {0, 0, 3, 4 * ONE - HEAD}};
    ARRIVE(4, &links, list, L + 3 * T, L + 5 * T, L + 7 * T);
    const struct message in[] = {
        {0, 1, 0, ONE - HEAD}, {0, 2, 0, 2 * ONE - HEAD}, {0, 3, 0, 4 * ONE - HEAD}};
    ARRIVE(4, &links, in, L + 3 * T, L + 5 * T, L + 7 * T);
    /* the first is half through; then both have halves */
    const struct message middle[] = {{0, 0, 1, BYTES}, {T / 2, 0, 2, 2 * ONE - HEAD}};
    ARRIVE(3, &links, middle, L + T / 2 + T, L + 3 * T);
    const struct message late[] = {{0, 1, 0, 2 * ONE - HEAD}, {T, 2, 0, BYTES}};
    ARRIVE(3, &links, late, L + 3 * T, L + 3 * T);
    /* one that comes when the others are through has the link */
    const struct message after[] = {{0, 0, 1, BYTES}, {0, 0, 2, BYTES}, {2 * T, 0, 3, BYTES}};
    ARRIVE(4, &links, after, L + 2 * T, L + 2 * T, L + 3 * T);
}

/* Messages of one tag from one rank to one other share a part, in order. */
static void lane_body(struct net *net, void *argument)
{
    enum { COUNT = 4 };
    if (net->rank == 0) {
        void *payload = net_alloc(net, BYTES);
        struct request *sent[COUNT];
        for (int i = 0; i < COUNT; i++)
            sent[i] = send_bytes(net, i < COUNT - 1 ? 1 : 2, TAG, payload, BYTES);
        for (int i = 0; i < COUNT; i++)
            wait_sent(net, sent[i]);
        net_free(net, payload);
    }
    for (int i = 0; i < COUNT - 1 && net->rank == 1; i++) {
        take_from(net, 0, TAG);
        log_value(argument, net_now(net));
    }
    if (net->rank == 2) {
        take_from(net, 0, TAG);
        log_value(argument, net_now(net));
    }
}

static void test_one_tag_has_one_part(void **state)
{
    (void)state;
    struct rank_log notes = log_run(3, lane_body);
    EXPECT(&notes, L + 2 * T, L + 2 * T, L + 3 * T, L + 4 * T);
}

static void near_body(struct net *net, void *argument)
{
    struct rank_log *notes = argument;
    if (net->rank == 0) {
        char *payload = net_alloc(net, 3 * BYTES);
        struct request *list[] = {
            send_bytes(net, 1, 1, payload, 3 * BYTES), send_bytes(net, 1, 2, payload, BYTES),
            send_bytes(net, 1, 3, payload, BYTES), send_bytes(net, 1, 4, payload, BYTES)};
        for (int i = 0; i < 4; i++) {
            wait_sent(net, list[i]);
            log_value(notes, net_now(net));
        }
        net_free(net, payload);
        return;
    }
    char copy[3][BYTES];
    struct request *borrowed = net_recv(net, 0, 1, NULL, 0), *copied[3];
    for (int i = 0; i < 3; i++)
        copied[i] = net_recv(net, 0, 2 + i, copy[i], BYTES);
    net_wait(net, &borrowed, 1, INFINITY);
    log_value(notes, net_now(net)); /* borrowed where it lies, whatever it weighs */
    net_wait(net, copied, 2, 0);
    log_value(notes, net_now(net)); /* a look that finds it copies it */
    net_wait(net, copied + 1, 1, INFINITY);
    log_value(notes, net_now(net)); /* one after the other */
    net_wait(net, copied, 2, INFINITY);
    log_value(notes, net_now(net)); /* once */
    for (int i = 0; i < 3; i++)
        net_release(net, copied[i]); /* the third was never asked for */
    net_advance(net, 1);
    net_release(net, borrowed);
}

static void test_a_copy_within_a_host(void **state)
{
    (void)state;
    const double copy_s = BYTES / 0x1p20;
    struct links links = {.between = KIND(1, 1),
                          .within = KIND(L, BANDWIDTH),
                          .ranks_per_host = 2,
                          .host_bandwidth = 1};
    struct world_options options = {.ranks = 2, .links = &links};
    struct rank_log notes = {0};
    sim_run(&options, near_body, &notes);
    const double first = L + copy_s, second = first + copy_s;
    EXPECT(&notes, L, first, second, second, second + 1, second + 1, second + 1, second + 1);
    notes.count = 0;
    links.within.bandwidth = 0;
    sim_run(&options, near_body, &notes);
    EXPECT(&notes, L, L, L, L, L + 1, L + 1, L + 1, L + 1);
}

/* When the copied payload is the sender's again: after the copy, not before, and not only when the
 * receive is dropped. */
static void given_back_body(struct net *net, void *argument)
{
    if (net->rank == 0) {
        char *payload = net_alloc(net, BYTES);
        wait_sent(net, send_bytes(net, 1, 1, payload, BYTES));
        log_value(argument, net_now(net));
        net_free(net, payload);
        return;
    }
    char copy[BYTES];
    struct request *got = net_recv(net, 0, 1, copy, BYTES);
    net_advance(net, 1);
    net_wait(net, &got, 1, INFINITY);
    net_advance(net, 1);
    net_release(net, got);
}

static void test_a_copy_gives_back(void **state)
{
    (void)state;
    const struct links links = {.within = KIND(L, BANDWIDTH), .ranks_per_host = 64};
    struct rank_log notes = {0};
    sim_run(&(struct world_options){.ranks = 2, .links = &links}, given_back_body, &notes);
    EXPECT(&notes, 1 + BYTES / 0x1p20);
}

/* Heads a second apart from rank 0 to its neighbour (jitter L/2), to another host (L), and along a
 * link of its own (2 L). */
static void jitter_body(struct net *net, void *argument)
{
    double most_s = 0, least_s = INFINITY;
    for (int i = 0; i < 100 && net->rank == 0; i++) {
        net_advance(net, 1);
        for (int to = 1; to < net->ranks; to++)
            send_head(net, to, 1, i);
    }
    for (int i = 0; i < 100 && net->rank > 0; i++) {
        struct request *got = net_recv(net, 0, 1, NULL, 0);
        net_wait(net, &got, 1, INFINITY);
        double late_s = net_now(net) - net_header(got)->sent_s - L;
        if (i == 50)
            log_value(argument, late_s);
        least_s = fmin(least_s, late_s), most_s = fmax(most_s, late_s);
        net_release(net, got);
    }
    double jitter_s = net->rank == 1 ? L / 2 : net->rank == 2 ? L : 2 * L;
    if (net->rank > 0)
        log_value(argument, least_s >= 0 && least_s < 0.1 * jitter_s && most_s > 0.9 * jitter_s &&
                                most_s < jitter_s);
}

static void test_jitter_is_keyed_and_bounded(void **state)
{
    (void)state;
    const struct link_pair pair[] = {{0, 3, {L, 2 * L, 0}}};
    const struct links links = {.between = {L, L, 0},
                                .within = {L, L / 2, 0},
                                .ranks_per_host = 2,
                                .pair = pair,
                                .pair_count = 1};
    struct rank_log notes[3] = {{0}};
    for (int i = 0; i < 3; i++)
        sim_run(&(struct world_options){.ranks = 4, .seed = i == 2, .links = &links}, jitter_body,
                &notes[i]);
    assert_int_equal(notes[0].count, 6);
    assert_memory_equal(&notes[0], &notes[1], sizeof *notes);
    for (int i = 0; i < 3; i++) {
        int within = 0;
        for (int k = 0; k < 6; k++)
            within += notes[i].list[k] == 1;
        assert_int_equal(within, 3);
    }
    int differ = 0;
    for (int k = 0; k < 6; k++)
        differ += notes[0].list[k] != notes[2].list[k];
    assert_int_equal(differ, 3);
}

/* Heads and payloads of one tag, through every kind of port and much jitter, in the order they were
 * sent. */
static void order_body(struct net *net, void *argument)
{
    enum { MESSAGES = 200 };
    const struct links *links = argument;
    int other = (net->rank + links->ranks_per_host) % net->ranks;
    char *payload = net_alloc(net, 2 * BYTES);
    struct request *sent[MESSAGES];
    struct random random = random_at(RANDOM_TEST, 5, (uint64_t)net->rank, 0, 0);
    for (int i = 0; i < MESSAGES; i++) {
        size_t bytes = random_below(&random, 2) ? random_below(&random, 2 * BYTES) : 0;
        sent[i] = net_send(net, other, &(struct header){.tag = TAG, .version = i}, payload, bytes);
        if (random_below(&random, 8) == 0)
            net_advance(net, L * random_uniform(&random));
    }
    for (int i = 0; i < MESSAGES; i++)
        CHECK(take_from(net, NET_ANY, TAG) == i, "message %d came out of its order", i);
    for (int i = 0; i < MESSAGES; i++)
        if (sent[i])
            wait_sent(net, sent[i]);
    net_free(net, payload);
}

static void test_order_within_a_tag(void **state)
{
    (void)state;
    const struct link_pair pair[] = {{0, 2, {L, 4 * L, BANDWIDTH / 2}}};
    const struct link_rank rank[] = {{3, 3 * BANDWIDTH}};
    struct links links = {.between = {L, 10 * L, BANDWIDTH},
                          .within = {L, L, 0},
                          .ranks_per_host = 2,
                          .pair = pair,
                          .rank = rank,
                          .pair_count = 1,
                          .rank_count = 1};
    for (uint64_t seed = 0; seed < 20; seed++) {
        links.host_bandwidth = seed % 2 ? BANDWIDTH / 2 : 1.5 * BANDWIDTH;
        sim_run(&(struct world_options){.ranks = 4, .seed = seed, .links = &links}, order_body,
                &links);
    }
}

static void names_body(struct net *net, void *argument)
{
    for (int i = 0; i < net->ranks && net->rank == 0; i++)
        log_value(argument, !strcmp(net_host(net, i), net_host(net, 0)));
}

static void test_hosts_have_names(void **state)
{
    (void)state;
    const struct links links = {.ranks_per_host = 2};
    struct rank_log notes = {0};
    sim_run(&(struct world_options){.ranks = 5, .links = &links}, names_body, &notes);
    EXPECT(&notes, 1, 1, 0, 0, 0);
}

static void run_links(const void *links)
{
    struct rank_log notes = {0};
    sim_run(&(struct world_options){.ranks = 2, .links = links}, names_body, &notes);
}

static void test_bad_links(void **state)
{
    (void)state;
    const struct link_pair pair = {0, 1, KIND(INFINITY, 1)};
    const struct link_rank rank = {1, NAN};
    const struct links bad[] = {
        {.ranks_per_host = 0},
        {.ranks_per_host = 1, .between = KIND(-1, 1)},
        {.ranks_per_host = 1, .within = KIND(0, -1)},
        {.ranks_per_host = 1, .host_bandwidth = -1},
        {.ranks_per_host = 1, .pair = &pair, .pair_count = 1},
        {.ranks_per_host = 1, .rank = &rank, .rank_count = 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_dies(EXIT_USER, run_links, &bad[i],
                    (const char *const[]){"simulated", "nothing", "negative", NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pair_has_its_latency),
        cmocka_unit_test(test_a_pair_has_its_bandwidth),
        cmocka_unit_test(test_a_rank_has_its_port),
        cmocka_unit_test(test_incast_at_a_host),
        cmocka_unit_test(test_a_host_sends),
        cmocka_unit_test(test_equal_messages_end_together),
        cmocka_unit_test(test_unequal_messages),
        cmocka_unit_test(test_one_tag_has_one_part),
        cmocka_unit_test(test_a_copy_within_a_host),
        cmocka_unit_test(test_a_copy_gives_back),
        cmocka_unit_test(test_jitter_is_keyed_and_bounded),
        cmocka_unit_test(test_order_within_a_tag),
        cmocka_unit_test(test_hosts_have_names),
        cmocka_unit_test(test_bad_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
