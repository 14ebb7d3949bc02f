/* Payloads that leave as they become ready: when their bytes arrive, to the last bit of virtual
 * time; what a run gains by it; and that it changes no result, in any scheme. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/random.h"
#include "scheme/scheme.h"
#include "tests/scheme_harness.h"
#include "tests/rank_log.h"
#include "tests/quadratic.h"
#include "tests/option_list.h"

/* --- messages */

enum { PIECE = 4096, PIECES = 4, WHOLE = PIECE * PIECES }; /* a piece takes T */

static struct rank_log run(int ranks, double bandwidth, void (*body)(struct net *, void *))
{
    struct world_options options = {
        .ranks = ranks, .latency_s = L, .bandwidth = bandwidth, .piece = PIECE};
    struct rank_log notes = {0};
    sim_run(&options, body, &notes);
    return notes;
}

static void commit(struct net *net, struct request *request, int64_t version)
{
    net_send_commit(net, request, &(struct header){.tag = 5, .version = version});
    wait_sent(net, request);
}

/* A piece long before the rest, two together, the last one with the header. A part of a
 * piece is not sent. */
static void grow_body(struct net *net, void *argument)
{
    if (net->rank > 0) {
        char *payload = net_alloc(net, WHOLE);
        struct request *request = net_send_begin(net, 0, 5, payload, WHOLE);
        net_advance(net, 1);
        net_send_ready(net, request, WHOLE - PIECE);
        net_send_ready(net, request, 2 * PIECE + 1);
        net_advance(net, 10 * T);
        net_send_ready(net, request, PIECE);
        net_advance(net, T);
        memset(payload, 7, PIECE);
        commit(net, request, 3);
        net_free(net, payload);
        return;
    }
    int64_t before = net->received_bytes;
    for (int i = 1; i < net->ranks; i++) {
        struct request *receive = net_recv(net, NET_ANY, 5, NULL, 0);
        net_wait(net, &receive, 1, INFINITY);
        const char *data = net_data(receive);
        CHECK(net_header(receive)->bytes == WHOLE && data[0] == 7 && data[PIECE] == 0,
              "another payload came");
        CHECK(net_header(receive)->sent_s == 1 + 11 * T, "it was sent when it was committed");
        log_value(argument, (double)take(net, receive));
        log_value(argument, net_now(net));
    }
    CHECK(net->received_bytes - before ==
              (net->ranks - 1) * (int64_t)(WHOLE + sizeof(struct header)),
          "bytes are counted once");
}

static void a_payload_moves_while_it_grows(void **state)
{
    (void)state;
    struct rank_log notes = run(2, BANDWIDTH, grow_body);
    /* the link was busy with two pieces when it was committed */
    EXPECT(&notes, 3, 1 + L + 13 * T + H);
    notes = run(2, 0, grow_body);
    EXPECT(&notes, 3, 1 + L + 11 * T);
    /* six pieces and two headers remain when the second ones are ready */
    notes = run(3, BANDWIDTH, grow_body);
    const double both = 1 + L + 16 * T + 2 * H;
    EXPECT(&notes, 3, both, 3, both);
}

/* What is committed later is sent later, whatever part of it has come before. */
static void order_body(struct net *net, void *argument)
{
    if (net->rank == 1) {
        for (int i = 0; i < 3; i++)
            log_value(argument, (double)take_from(net, 0, 5));
        return;
    }
    void *payload = net_alloc(net, WHOLE), *other = net_alloc(net, WHOLE);
    struct request *request = net_send_begin(net, 1, 5, payload, WHOLE),
                   *second = net_send_begin(net, 1, 5, other, WHOLE);
    net_send_ready(net, request, 1);
    net_advance(net, 1);
    send_head(net, 1, 5, 1);
    commit(net, second, 2);
    commit(net, request, 3);
    net_free(net, payload);
    net_free(net, other);
}

static void a_message_is_sent_when_it_is_committed(void **state)
{
    (void)state;
    struct rank_log notes = run(2, BANDWIDTH, order_body);
    EXPECT(&notes, 1, 2, 3);
}

/* --- training */

/* A vector of the quadratic is 4,000 bytes, four of the harness's pieces; of a mini-batch's 16
 * steps and 0.1 s the first half is forward's, so a piece is ready every second step. */
enum { VECTOR = 4000, UPDATES = 50 };

static struct option_list describe(const char *scheme, int workers, bool early, double push_s)
{
    struct option_list w = {0};
    add_plain_sgd(&w, scheme, 0.05);
    add_option(&w, "network=quadratic");
    add_option(&w, "workers=%d", workers);
    add_option(&w, "minibatches=2");
    add_option(&w, "batch=16");
    add_option(&w, "samples=%d", 16 * workers * UPDATES);
    add_option(&w, "sim-bandwidth=%.9g", VECTOR / push_s);
    add_option(&w, "early-push=%s", early ? "yes" : "no");
    return w;
}

/* What an update gains: the pushes but for the pieces that are ready last, or, where links are
 * slow, the time from the first piece that is ready to the last. The weights come to all workers at
 * one time, and so do their pushes to the server. */
static void a_push_hides_behind_backward(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers *= 4)
        for (int i = 0; i < 12; i++) {
            struct experiment late, early;
            double push_s = 0.002 * pow(1.6, i), step_s = 0.1 / 16;
            struct option_list w = describe("ssgd", workers, false, push_s),
                               with = describe("ssgd", workers, true, push_s);
            quadratic_run(&late, &w);
            quadratic_run(&early, &with);
            double gained = (late.out.seconds - early.out.seconds) / UPDATES,
                   expected = fmin(3 * workers * push_s / 4, 6 * step_s);
            if (fabs(gained - expected) > workers * push_s * sizeof(struct header) / VECTOR + 1e-9)
                fail_msg("%d workers, pushes of %g s: an update gains %g s, expected %g", workers,
                         push_s, gained, expected);
            assert_memory_equal(late.out.w, early.out.w, (size_t)late.out.count * sizeof(float));
            assert_int_equal(late.out.sent_messages, early.out.sent_messages);
            for (int k = 0; k < workers; k++)
                assert_int_equal(late.out.worker[k].traffic.sent_bytes,
                                 early.out.worker[k].traffic.sent_bytes);
            experiment_close(&late);
            experiment_close(&early);
        }
}

/* Other codecs pack the whole vector: nothing is sent early, nothing changes. */
static void what_is_packed_waits(void **state)
{
    (void)state;
    struct experiment late, early;
    struct option_list w = describe("ssgd", 3, false, 0.05), with = describe("ssgd", 3, true, 0.05);
    add_option(&w, "compress=bf16");
    add_option(&with, "compress=bf16");
    quadratic_run(&late, &w);
    quadratic_run(&early, &with);
    assert_true(late.out.seconds == early.out.seconds);
    experiment_close(&late);
    experiment_close(&early);
}

static const char *const delays[] = {"constant:0", "exponential:0.05",
                                     "uniform:0,0.2@0;uniform:0,0.5"};

/* The same bits where the order of pushes does not decide, or is a recorded one; elsewhere the
 * simulator's strictness and the schemes' own tests, which run with it. Several servers, batches,
 * slow links. */
static void no_result_changes(void **state)
{
    (void)state;
    char folder[] = "/tmp/early-XXXXXX", file[40];
    assert_non_null(mkdtemp(folder));
    for (const struct scheme *const *each = schemes, *s; (s = *each); each++)
        for (uint64_t seed = 1; seed <= 24; seed++) {
            struct experiment late, early;
            double push_s = 0.01 * (double)(1 + seed % 5 * seed % 7);
            struct option_list w = describe(s->name, 2 + (int)(seed % 3), false, push_s),
                               with = describe(s->name, 2 + (int)(seed % 3), true, push_s);
            if (!strcmp(s->name, "serial"))
                continue;
            for (int i = 0; i < 2; i++) {
                struct option_list *one = i ? &with : &w;
                add_option(one, "servers=%d",
                           s->flags & (DECENTRAL | REPLAYS) || !strcmp(s->name, "hogwild")
                               ? 1
                               : 1 + (int)(seed % 2));
                add_option(one, "delay=%s", delays[seed % 3]);
                add_option(one, "seed=%d", (int)seed);
                add_option(one, "overwrite=yes"); /* the record of the scheme before */
                add_option(one, "topology=path"); /* any number of workers */
                if (s->flags & REPLAYS)
                    add_option(one, "%s=%s/order", i ? "replay" : "record", folder);
            }
            quadratic_run(&late, &w);
            quadratic_run(&early, &with);
            if (s->flags & (SYNC | REPLAYS) &&
                memcmp(late.out.w, early.out.w, (size_t)late.out.count * sizeof(float)))
                fail_msg("%s, seed %d: the weights differ by %g", s->name, (int)seed,
                         quadratic_difference(&late.out, &early.out));
            experiment_close(&late);
            experiment_close(&early);
        }
    snprintf(file, sizeof file, "%s/order.0", folder);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* Which schemes gain at all: those that know of a mini-batch that its sum will be pushed. */
static void schemes_that_can_do(void **state)
{
    (void)state;
    static const char *const can[] = {"ssgd", "asgd", "dcasgd", "downpour", "backup", "nbssgd"};
    for (size_t i = 0; i < sizeof can / sizeof *can; i++) {
        struct experiment late, early;
        struct option_list w = describe(can[i], 4, false, 0.02),
                           with = describe(can[i], 4, true, 0.02);
        add_option(&w, "nb-inflight=finish");
        add_option(&with, "nb-inflight=finish");
        quadratic_run(&late, &w);
        quadratic_run(&early, &with);
        if (!(early.out.seconds < 0.99 * late.out.seconds))
            fail_msg("%s takes %g s, %g s without", can[i], early.out.seconds, late.out.seconds);
        experiment_close(&late);
        experiment_close(&early);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_payload_moves_while_it_grows),
        cmocka_unit_test(a_message_is_sent_when_it_is_committed),
        cmocka_unit_test(a_push_hides_behind_backward),
        cmocka_unit_test(what_is_packed_waits),
        cmocka_unit_test(no_result_changes),
        cmocka_unit_test(schemes_that_can_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
