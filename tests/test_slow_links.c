/* What slows simulated links now and then: closed forms of single messages and of whole runs, draws
 * by key, and every way to write it wrong. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "messaging/messaging.h"
#include "slowness/slowness.h"
#include "tests/death_test.h"
#include "tests/option_list.h"
#include "tests/rank_log.h"
#include "tests/scheme_harness.h"

static const uint64_t seed = 20240229;

/* --- single messages */

enum { SLOW = 3, PLAIN = 4 }; /* tags */

struct link { /* of rank 1 */
    struct net *net;
    int payloads;
};

static double late(void *owner, int tag)
{
    struct link *l = owner;
    l->payloads++;
    return tag == SLOW ? 1 : 0;
}

static struct rank_log notes;

/* Rank 0 sends rank 1 a late payload and a header after it, and a header with another tag; rank 1
 * sends a late payload to rank 2. */
static void late_body(struct net *net, void *argument)
{
    struct link own = {net, 0};
    void *payload = net_alloc(net, BYTES);
    (void)argument;
    if (net->rank == 1)
        net->link = (struct net_link){.owner = &own, .on_payload = late};
    net_barrier(net);
    double began_s = net_now(net);
    if (net->rank == 0) {
        net_advance(net, 1 - began_s);
        struct request *sent = send_bytes(net, 1, SLOW, payload, BYTES);
        send_head(net, 1, SLOW, 0);
        send_head(net, 1, PLAIN, 0);
        wait_sent(net, sent);
    } else if (net->rank == 1) {
        take_from(net, 0, PLAIN);
        log_value(&notes, net_now(net));
        take_from(net, 0, SLOW);
        log_value(&notes, net_now(net));
        take_from(net, 0, SLOW);
        log_value(&notes, net_now(net));
        net_advance(net, 4 - net_now(net));
        wait_sent(net, send_bytes(net, 2, SLOW, payload, BYTES));
        assert_int_equal(own.payloads, 2);
        net->link = (struct net_link){0};
    } else {
        take_from(net, 1, SLOW);
        log_value(&notes, net_now(net));
    }
    net_free(net, payload);
}

static void run_bodies(int ranks, void (*body)(struct net *, void *))
{
    const struct world_options options = {.ranks = ranks, .latency_s = L, .bandwidth = BANDWIDTH};
    notes = (struct rank_log){0};
    sim_run(&options, body, NULL);
}

/* A header overtakes on another lane only. */
static void a_payload_is_late(void **state)
{
    (void)state;
    run_bodies(3, late_body);
    EXPECT(&notes, 1 + 2 * H + L, 2 + L + T + 2 * H, 2 + L + T + 2 * H, 5 + L + T);
}

/* From 1 s to 2 s a quarter of the bandwidth, then all of it, with a look every 1/8 s. */
static double quarter(void *owner, double *for_s)
{
    struct net *net = owner;
    double now_s = net_now(net);
    *for_s = now_s < 1 ? fmin(1 - now_s, 0.125) : 0.125;
    return now_s >= 1 && now_s < 2 ? 4 : 1;
}

static double never_late(void *owner, int tag)
{
    (void)owner, (void)tag;
    return 0;
}

enum { SECOND = 1 << 20 };

static void burst_body(struct net *net, void *argument)
{
    static const double at_s[] = {1 - T / 2, 1.5, 1.75, 4};
    static const size_t bytes[] = {BYTES, BYTES, SECOND - sizeof(struct header), BYTES};
    void *payload = net_alloc(net, SECOND);
    bool slow_one = net->rank == *(int *)argument;
    net->link = slow_one
                    ? (struct net_link){.owner = net, .on_payload = never_late, .divisor = quarter}
                    : (struct net_link){0};
    for (int i = 0; i < 4; i++) {
        if (net->rank == 1) {
            take_from(net, 0, PLAIN);
            log_value(&notes, net_now(net));
            continue;
        }
        net_advance(net, at_s[i] - net_now(net));
        wait_sent(net, send_bytes(net, 1, PLAIN, payload, bytes[i]));
    }
    net_free(net, payload);
}

static void a_burst_takes_bandwidth(void **state)
{
    (void)state;
    for (int slow = 0; slow < 2; slow++) { /* its sender's link, its receiver's */
        const struct world_options options = {.ranks = 2, .latency_s = 0, .bandwidth = BANDWIDTH};
        notes = (struct rank_log){0};
        sim_run(&options, burst_body, &slow);
        EXPECT(&notes, 1 + 2 * T, 1.5 + 4 * T, 2 + 15.0 / 16, 4 + T);
    }
}

/* --- whole runs: one worker, ssgd, no early push */

/* Of each update the weights and the gradient pass both links, and at the end the last weights. A
 * header alone goes before the first ones, another one comes after the last. */
enum {
    UPDATES = 20,
    PAYLOADS = 2 * UPDATES + 1,
    VECTOR = LEDGER_FLOATS * sizeof(float) + sizeof(struct header)
};

static const double latency_s = 0.01, bandwidth = 1e6, minibatch_s = 0.05;

static double seconds_of(const char *option, const char *key)
{
    struct option_list w = {0};
    struct experiment e;
    add_plain_sgd(&w, "ssgd", 0.001);
    add_option(&w, "workers=1");
    add_option(&w, "minibatches=1");
    add_option(&w, "batch=16");
    add_option(&w, "samples=%d", 16 * UPDATES);
    add_option(&w, "early-push=no");
    add_option(&w, "sim-minibatch=%g", minibatch_s);
    add_option(&w, "sim-latency=%g", latency_s);
    add_option(&w, "sim-bandwidth=%g", bandwidth);
    add_option(&w, "delay-key=%s", key);
    add_option(&w, "delay-block=0.4");
    if (*option)
        add_option(&w, "%s", option);
    experiment_defaults(&e, option_list_words(&w));
    experiment_run(&e);
    double seconds = e.out.seconds;
    assert_int_equal(e.out.updates, UPDATES);
    experiment_close(&e);
    return seconds;
}

static void takes(double wanted, const char *option, const char *key)
{
    double got = seconds_of(option, key);
    if (!(fabs(got - wanted) <= 1e-9))
        fail_msg("%s by %s: %.9g s instead of %.9g", option, key, got, wanted);
}

static void an_update_waits_for_its_payloads(void **state)
{
    (void)state;
    const double plain_s = seconds_of("", "attempts");
    takes(plain_s + PAYLOADS * 0.25, "link-delay=constant:0.25@1", "attempts");
    takes(plain_s + PAYLOADS * 0.5, "link-delay=constant:0.25", "attempts");
    takes(plain_s + PAYLOADS * 0.25, "link-delay=constant:0.25@0", "attempts");
    const double vector_s = VECTOR / bandwidth, head_s = sizeof(struct header) / bandwidth;
    takes(plain_s + (PAYLOADS * vector_s + 2 * head_s) * 3, "link-burst=1,4,7@1", "attempts");
    takes(plain_s + (PAYLOADS * vector_s + 2 * head_s) * 3, "link-burst=1,2,7;1,2,3", "attempts");
    takes(plain_s, "link-burst=1,1,7;0,9,1", "attempts");
}

/* By payloads: of those of rank 1 number 0 is the first weights. */
static void payloads_are_numbered(void **state)
{
    (void)state;
    struct link_slowness l =
        link_slowness_parse("burst:0.3,0.2,3@1;uniform:0,0.1@1", "0.4,5,3@1", 2);
    double wanted = seconds_of("", "attempts"), late_s = 0, burst_s = 0;
    for (int i = 0; i < PAYLOADS; i++) {
        late_s += delay_at(&l.delay, 1, 1, i, false);
        burst_s += (link_factor_at(&l, 1, 1, i) - 1) * VECTOR / bandwidth;
    }
    burst_s += (link_factor_at(&l, 1, 1, 0) + link_factor_at(&l, 1, 1, PAYLOADS - 1) - 2) *
               sizeof(struct header) / bandwidth;
    assert_true(burst_s > 0 && late_s > 0.2);
    takes(wanted + late_s, "link-delay=burst:0.3,0.2,3@1;uniform:0,0.1@1", "attempts");
    takes(wanted + burst_s, "link-burst=0.4,5,3@1", "attempts");
}

/* Keyed by the clock, a link is there for 0.4 s, then away for 0.1 s. */
static double after_outage_s(double at_s)
{
    double phase_s = fmod(at_s, 0.5);
    return phase_s >= 0.4 ? at_s - phase_s + 0.5 : at_s;
}

/* Rank 0's link is slow in the blocks of 0.4 s that its draws say; the bytes pass it from then. */
static double after_bytes_s(const struct link_slowness *l, double at_s, size_t bytes)
{
    double left = (double)bytes / bandwidth;
    for (;;) {
        double block = floor(at_s / 0.4 + 1e-9), end_s = (block + 1) * 0.4,
               factor = link_factor_at(l, 1, 0, (int64_t)block);
        if (left * factor <= end_s - at_s)
            return at_s + left * factor;
        left -= (end_s - at_s) / factor;
        at_s = end_s;
    }
}

static void moments_of_the_clock(void **state)
{
    (void)state;
    struct link_slowness l = link_slowness_parse("", "0.5,30,2@0", 2);
    double vector_s = VECTOR / bandwidth, head_s = sizeof(struct header) / bandwidth,
           away_s = head_s, burst_s = after_bytes_s(&l, 0, sizeof(struct header));
    double rest_s = seconds_of("", "attempts") - head_s - UPDATES * minibatch_s -
                    PAYLOADS * (latency_s + vector_s);
    for (int i = 0; i < PAYLOADS; i++) {
        bool push = i % 2;
        away_s = after_outage_s(away_s + push * minibatch_s) + latency_s + vector_s;
        burst_s = after_bytes_s(&l, burst_s + push * (minibatch_s + latency_s), VECTOR) +
                  !push * latency_s;
    }
    takes(away_s + rest_s, "link-delay=constant:0.1@0", "clock");
    takes(burst_s + rest_s, "link-burst=0.5,30,2@0", "clock");
}

/* --- draws, words */

static void draws_are_by_key(void **state)
{
    (void)state;
    enum { BLOCKS = 4000 };
    struct link_slowness l = link_slowness_parse("uniform:0,1", "0.25,8,5@2;0.5,3,1@1", 4);
    struct delay d = delay_parse("uniform:0,1", 4);
    int slow = 0;
    for (int64_t block = BLOCKS - 1; block >= 0; block--) {
        double first = link_factor_at(&l, seed, 2, 5 * block);
        assert_true(first == 1 || first == 8);
        slow += first == 8;
        for (int i = 1; i < 5; i++)
            assert_true(link_factor_at(&l, seed, 2, 5 * block + i) == first);
        assert_true(link_factor_at(&l, seed, 3, block) == 1);
    }
    assert_true(abs(slow - BLOCKS / 4) < 5 * sqrt(BLOCKS * 0.25 * 0.75));
    /* a link's luck is not that of its rank's mini-batches */
    assert_true(delay_at(&l.delay, seed, 2, 7, false) != delay_at(&d, seed, 2, 7, false));
    l = link_slowness_parse("", " ", 4);
    assert_true(l.delay.terms == 0 && l.bursts == 0 && link_factor_at(&l, seed, 0, 0) == 1);
}

static void parse_bursts(const void *text)
{
    link_slowness_parse("", text, 8);
}

static void parse_delays(const void *text)
{
    link_slowness_parse(text, "", 8);
}

static void wrong_words(void **state)
{
    (void)state;
    static const char *const bursts[] = {
        "0.1",         "0.1,2",      "0.1,2,",
        "1.1,2,3",     "-0.1,2,3",   "0.1,0.5,3",
        "0.1,2,0",     "0.1,2,1.5",  "0.1,2,3@8",
        "0.1,2,3@",    "0.1,2,3;",   "0.1,2,3,4",
        ";0.1,2,3",    "0.1;2,3",    "0.1,2,3!",
        "0.1,2,3@1@2", "nan,2,3",    "0.1,inf,3",
        "0.1 2 3",     "P,FACTOR,3", "0.1,2,3@-1",
        "0.1,2e9,3",   "1,2,3;1,2",  "1,2,3;1,2,3;1,2,3;1,2,3;1,2,3;1,2,3;1,2,3;1,2,3;1,2,3"};
    static const char *const delays[] = {"0.1",           "constant:-1",   "constant:1!",
                                         "constant:1!@2", "constant:1@2!", "constant:1@8",
                                         "burst:1,2"};
    for (size_t i = 0; i < sizeof bursts / sizeof *bursts; i++)
        assert_dies(EXIT_USER, parse_bursts, bursts[i],
                    (const char *const[]){"--link-burst", bursts[i], "PROBABILITY,FACTOR", NULL});
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++)
        assert_dies(EXIT_USER, parse_delays, delays[i],
                    (const char *const[]){"--link-delay", delays[i], "constant:SECONDS", NULL});
    assert_dies(0, parse_bursts, "0.1,2,3@7 ; 1,1,1", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_payload_is_late),
        cmocka_unit_test(a_burst_takes_bandwidth),
        cmocka_unit_test(an_update_waits_for_its_payloads),
        cmocka_unit_test(payloads_are_numbered),
        cmocka_unit_test(moments_of_the_clock),
        cmocka_unit_test(draws_are_by_key),
        cmocka_unit_test(wrong_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
