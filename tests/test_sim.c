/* The simulated world: exact virtual times, order, references, counters, the barrier.
 *
 * Every time here is a small multiple of a power of two. Waits are in test_sim_waits.c, networks
 * whose links differ in test_sim_links.c. What ends a run is in test_sim_strict.c, random traffic
 * and speed in test_sim_traffic.c. */
#include "messaging/messaging.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/random.h"
#include "tests/rank_log.h"

static void alone_body(struct net *net, void *argument)
{
    struct rank_log *notes = argument;
    if (net->rank == 0) {
        void *payload = net_alloc(net, BYTES);
        struct request *sent = send_bytes(net, 1, 5, payload, BYTES);
        net_advance(net, 1);
        log_value(notes, net_now(net));
        send_head(net, 1, 5, 0);
        wait_sent(net, sent);
        net_free(net, payload);
    } else {
        take_from(net, 0, 5);
        log_value(notes, net_now(net));
        take_from(net, 0, 5);
        log_value(notes, net_now(net));
    }
}

static void test_latency_and_bandwidth(void **state)
{
    (void)state;
    struct rank_log notes = log_run(2, alone_body);
    EXPECT(&notes, L + T, 1, 1 + L + H);
}

static void incast_body(struct net *net, void *argument)
{
    if (net->rank == 0) {
        for (int i = 1; i < net->ranks; i++) {
            take_from(net, NET_ANY, 5);
            log_value(argument, net_now(net));
        }
        return;
    }
    if (net->rank == 5)
        net_advance(net, T / 2); /* meets four that have an eighth each */
    if (net->rank == 6)
        net_advance(net, 1); /* meets none */
    void *payload = net_alloc(net, BYTES);
    wait_sent(net, send_bytes(net, 0, 5, payload, BYTES));
    net_free(net, payload);
}

static void test_incast_is_shared(void **state)
{
    (void)state;
    struct rank_log notes = log_run(7, incast_body);
    const double four = L + T / 2 + 5 * (T - T / 8);
    EXPECT(&notes, four, four, four, four, L + 5 * T, 1 + L + T);
}

static void fan_out_body(struct net *net, void *argument)
{
    if (net->rank > 0) {
        take_from(net, 0, 5);
        log_value(argument, net_now(net));
        return;
    }
    void *payload = net_alloc(net, BYTES);
    struct request *sent[3];
    for (int i = 0; i < 3; i++)
        sent[i] = send_bytes(net, 1 + i, 5, payload, BYTES);
    for (int i = 0; i < 3; i++)
        wait_sent(net, sent[i]);
    net_free(net, payload);
}

static void test_outgoing_link_is_shared(void **state)
{
    (void)state;
    struct rank_log notes = log_run(4, fan_out_body);
    EXPECT(&notes, L + 3 * T, L + 3 * T, L + 3 * T);
}

/* While a payload of 64 T is on its way, one head of another tag and one of the same; a payload
 * after them. Both payloads stand still for the two heads. */
static void overtake_body(struct net *net, void *argument)
{
    size_t large = (size_t)(64 * T * BANDWIDTH) - sizeof(struct header);
    if (net->rank == 0) {
        void *payload = net_alloc(net, large);
        struct request *first = send_bytes(net, 1, 1, payload, large);
        net_advance(net, T);
        send_head(net, 1, 2, 0);
        send_head(net, 1, 1, 77);
        struct request *second = send_bytes(net, 1, 3, payload, BYTES);
        wait_sent(net, first);
        wait_sent(net, second);
        net_free(net, payload);
        return;
    }
    take_from(net, 0, 2);
    log_value(argument, net_now(net)); /* overtakes */
    take_from(net, 0, 3);
    log_value(argument, net_now(net)); /* has half the link */
    log_value(argument, (double)take_from(net, 0, 1));
    log_value(argument, net_now(net));
    log_value(argument, (double)take_from(net, 0, 1));
    log_value(argument, net_now(net)); /* must not overtake */
}

static void test_heads_overtake_payloads(void **state)
{
    (void)state;
    struct rank_log notes = log_run(2, overtake_body);
    const double last = L + 65 * T + 2 * H;
    EXPECT(&notes, T + L + H, L + 3 * T + 2 * H, 0, last, 77, last);
}

static void heads_body(struct net *net, void *argument)
{
    if (net->rank == 0) {
        void *payload = net_alloc(net, BYTES);
        send_head(net, 1, 1, 0);
        send_head(net, 1, 2, 0);
        wait_sent(net, send_bytes(net, 1, 3, payload, BYTES));
        net_free(net, payload);
        return;
    }
    for (int tag = 1; tag <= 3; tag++) {
        take_from(net, 0, tag);
        log_value(argument, net_now(net));
    }
}

static void test_heads_are_serial(void **state)
{
    (void)state;
    struct rank_log notes = log_run(2, heads_body);
    EXPECT(&notes, L + H, L + 2 * H, L + 2 * H + T);
}

/* 200 messages, payloads and heads, on three tags; jitter far beyond the latency. */
static void order_body(struct net *net, void *argument)
{
    enum { MESSAGES = 200, ORDER_TAGS = 3 };
    struct random random = random_at(RANDOM_TEST, 1, 0, 0, 0);
    if (net->rank == 0) {
        char *payload = net_alloc(net, 3 * BYTES);
        struct request *sent[MESSAGES];
        for (int i = 0; i < MESSAGES; i++) {
            struct header head = {.tag = i % ORDER_TAGS, .version = i};
            sent[i] = net_send(net, 1, &head, payload,
                               random_below(&random, 2) ? random_below(&random, 3 * BYTES) : 0);
        }
        for (int i = 0; i < MESSAGES; i++)
            if (sent[i])
                wait_sent(net, sent[i]);
        net_free(net, payload);
        return;
    }
    struct request *list[ORDER_TAGS];
    int64_t next[ORDER_TAGS] = {0, 1, 2}, wrong = 0, crossed = 0, last = -1;
    for (int tag = 0; tag < ORDER_TAGS; tag++)
        list[tag] = net_recv(net, tag % 2 ? NET_ANY : 0, tag, NULL, 0);
    for (int i = 0; i < MESSAGES; i++) {
        int tag = net_wait(net, list, ORDER_TAGS, INFINITY);
        int64_t version = net_header(list[tag])->version;
        wrong += version != next[tag];
        crossed += version < last;
        last = version;
        next[tag] += ORDER_TAGS;
        net_release(net, list[tag]);
        list[tag] =
            next[tag] < MESSAGES ? net_recv(net, tag % 2 ? NET_ANY : 0, tag, NULL, 0) : NULL;
    }
    log_value(argument, (double)wrong);
    log_value(argument, crossed > 0);
}

static void test_order_within_a_tag(void **state)
{
    (void)state;
    struct world_options options = {
        .ranks = 2, .latency_s = L, .jitter_s = 10 * L, .bandwidth = BANDWIDTH};
    for (options.seed = 0; options.seed < 20; options.seed++) {
        struct rank_log notes = {0};
        sim_run(&options, order_body, &notes);
        EXPECT(&notes, 0, 1); /* in order within a tag, and often not between tags */
    }
}

/* Heads far apart: each is late by a part of the jitter of its own. */
static void jitter_body(struct net *net, void *argument)
{
    double least_s = INFINITY, most_s = 0, sum_s = 0;
    for (int i = 0; i < 100; i++) {
        if (net->rank == 0) {
            net_advance(net, 1);
            send_head(net, 1, 1, 0);
        } else {
            struct request *got = net_recv(net, 0, 1, NULL, 0);
            net_wait(net, &got, 1, INFINITY);
            double late_s = net_now(net) - net_header(got)->sent_s - L - H;
            least_s = fmin(least_s, late_s), most_s = fmax(most_s, late_s), sum_s += late_s;
            net_release(net, got);
        }
    }
    if (net->rank == 1)
        log_value(argument, least_s >= 0 && least_s < 0.1 * L && most_s > 0.9 * L && most_s < L &&
                                fabs(sum_s / 100 - L / 2) < 0.15 * L);
}

static void test_jitter(void **state)
{
    (void)state;
    struct world_options options = {
        .ranks = 2, .seed = 1, .latency_s = L, .jitter_s = L, .bandwidth = BANDWIDTH};
    struct rank_log notes = {0};
    sim_run(&options, jitter_body, &notes);
    EXPECT(&notes, 1);
}

/* Rank 0 sends twice: to a receive that refers, and to one that copies late. */
static void reference_body(struct net *net, void *argument)
{
    struct rank_log *notes = argument;
    if (net->rank == 0) {
        float *payload = net_alloc(net, BYTES);
        payload[7] = 7;
        struct request *sent = send_bytes(net, 1, 1, payload, BYTES);
        send_head(net, 1, 2, (int64_t)(intptr_t)payload);
        wait_sent(net, sent);
        log_value(notes, net_now(net));
        payload[7] = 8; /* it was released */
        wait_sent(net, send_bytes(net, 1, 1, payload, BYTES));
        log_value(notes, net_now(net));
        net_free(net, payload);
        return;
    }
    const void *expected = (const void *)(intptr_t)take_from(net, 0, 2);
    struct request *borrowed = net_recv(net, 0, 1, NULL, 0);
    net_wait(net, &borrowed, 1, INFINITY);
    net_advance(net, 1);
    log_value(notes, net_data(borrowed) == expected && ((const float *)net_data(borrowed))[7] == 7);
    net_release(net, borrowed);
    float copy[BYTES / sizeof(float) + 1] = {0};
    net_advance(net, 1);
    struct request *copied = net_recv(net, 0, 1, copy, sizeof copy);
    log_value(notes, net_wait(net, &copied, 1, 0));
    log_value(notes,
              net_data(copied) == copy && copy[7] == 8 && net_header(copied)->bytes == BYTES);
    net_advance(net, 1); /* a copy binds nobody */
    net_release(net, copied);
}

static void test_loans(void **state)
{
    (void)state;
    struct rank_log notes = log_run(2, reference_body);
    EXPECT(&notes, 1, 1 + L + T + H, 0, 1, 2 + L + T + H); /* a head went beside it */
}

static void around_body(struct net *net, void *argument)
{
    struct rank_log *notes = argument;
    if (net->rank == 1) {
        take_from(net, 0, 1);
        log_value(notes, net->received_messages == 1 &&
                             net->received_bytes == (int64_t)sizeof(struct header) + 100 &&
                             net->sent_messages == 0);
        return;
    }
    char *block = net_alloc(net, 1000), *kept = net_alloc(net, 3 << 20), sum = 0;
    for (int i = 0; i < 1000; i++)
        sum |= block[i];
    log_value(notes, sum == 0 && (uintptr_t)block % 64 == 0 && (uintptr_t)kept % 64 == 0);
    log_value(notes,
              net->virtual_time && !strcmp(net->world, "sim") && !strcmp(net_host(net, 1), "sim"));
    net_poll(net);
    log_value(notes, net_since_heard(net, 1));
    wait_sent(net, send_bytes(net, 1, 1, block + 900, 100)); /* up to the block's end */
    log_value(notes, net->sent_messages == 1 &&
                         net->sent_bytes == (int64_t)sizeof(struct header) + 100 &&
                         net->received_messages == 0);
    net_advance(net, 1);
    log_value(notes, net_since_heard(net, 1));
    net_free(net, block);
    net_free(net, NULL);
}

static void test_memory_silence_counters(void **state)
{
    (void)state;
    struct rank_log notes = log_run(2, around_body);
    EXPECT(&notes, 1, 1, 0, 1, 1, 0); /* who has returned is not dead */
}

/* Everybody leaves the second barrier when the last has come: rank 0 first, then the others after
 * one another. */
static void barrier_body(struct net *net, void *argument)
{
    net_barrier(net);
    double began_s = net_now(net);
    net_advance(net, 16 - began_s + net->rank);
    net_barrier(net);
    log_value(argument, net->rank + net_now(net));
}

static void test_barrier(void **state)
{
    (void)state;
    struct rank_log notes = log_run(4, barrier_body);
    double at = 19 + L + H;
    EXPECT(&notes, at, 1 + at + L + H, 2 + at + L + 2 * H, 3 + at + L + 3 * H);
    notes = log_run(1, barrier_body);
    EXPECT(&notes, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latency_and_bandwidth),
        cmocka_unit_test(test_incast_is_shared),
        cmocka_unit_test(test_outgoing_link_is_shared),
        cmocka_unit_test(test_heads_overtake_payloads),
        cmocka_unit_test(test_heads_are_serial),
        cmocka_unit_test(test_order_within_a_tag),
        cmocka_unit_test(test_jitter),
        cmocka_unit_test(test_loans),
        cmocka_unit_test(test_memory_silence_counters),
        cmocka_unit_test(test_barrier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
