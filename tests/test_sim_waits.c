/* Waits in the simulated world: what ends one and when, which receive takes which message, receives
 * that are given up, and advances in parts. */
#include "messaging/messaging.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/rank_log.h"

/* Ranks 1, 2 and 3 send at 3, 1 and 2. */
static void wait_body(struct net *net, void *argument)
{
    struct rank_log *notes = argument;
    if (net->rank > 0) {
        net_advance(net, net->rank == 1 ? 3 : net->rank - 1);
        send_head(net, 0, 1, net->rank);
        send_head(net, 0, 2, net->rank);
        return;
    }
    struct request *list[4] = {net_recv(net, 1, 1, NULL, 0), NULL, net_recv(net, 2, 1, NULL, 0),
                               net_recv(net, 3, 1, NULL, 0)};
    log_value(notes, net_wait(net, list, 4, 0));
    log_value(notes, net_wait(net, list, 4, INFINITY));
    log_value(notes, net_now(net));
    net_release(net, list[2]);
    list[2] = NULL;
    log_value(notes, net_wait(net, list, 4, 1.5));
    log_value(notes, net_now(net));
    log_value(notes, net_wait(net, list, 4, 1.25)); /* is over already */
    log_value(notes, net_now(net));
    log_value(notes, net_wait(net, list, 1, 2.5)); /* rank 3's message is of no interest */
    log_value(notes, net_now(net));
    net_wait(net, list, 1, INFINITY);
    log_value(notes, net_wait(net, list, 4, INFINITY)); /* the lowest of two */
    log_value(notes, net_now(net));
    net_release(net, list[0]);
    net_release(net, list[3]);
    log_value(notes, net_wait(net, NULL, 0, 10));
    log_value(notes, net_now(net));
    for (int i = 1; i < 4; i++)
        take_from(net, i, 2);
    net_release(net, NULL);
    log_value(notes, net_now(net));
}

static void test_wait(void **state)
{
    (void)state;
    struct rank_log notes = log_run(4, wait_body);
    EXPECT(&notes, -1, 2, 1 + L + H, -1, 1.5, -1, 1.5, -1, 2.5, 0, 3 + L + H, -1, 10, 10);
}

/* Who sleeps for long will go on, however often others look meanwhile. */
static void long_sleep_body(struct net *net, void *argument)
{
    enum { LONG = 300000 };
    if (net->rank == 0) {
        net_act(net, (struct net_activity){.pace = NET_SLEEPS, .what = "a delay"});
        net_wait(net, NULL, 0, LONG);
        send_head(net, 1, 1, 5);
        return;
    }
    struct request *come = net_recv(net, 0, 1, NULL, 0);
    while (net_wait(net, &come, 1, net_now(net) + 1) < 0)
        ;
    log_value(argument, net_now(net));
    net_release(net, come);
}

static void test_long_sleep(void **state)
{
    (void)state;
    struct rank_log notes = log_run(2, long_sleep_body);
    EXPECT(&notes, 300000 + L + H);
}

/* A request looked at before must not end a wait, or a spend, that does not name it. */
static void bystander_body(struct net *net, void *argument)
{
    if (net->rank == 1) {
        send_head(net, 0, 1, 0);
        net_advance(net, 2);
        send_head(net, 0, 1, 0);
        return;
    }
    struct request *seen = net_recv(net, 1, 1, NULL, 0), *other = net_recv(net, 1, 2, NULL, 0);
    net_wait(net, &seen, 1, 0);
    log_value(argument, net_wait(net, &other, 1, 1));
    log_value(argument, net_now(net));
    take(net, seen);
    seen = net_recv(net, 1, 1, NULL, 0);
    net_wait(net, &seen, 1, 1.5);
    net_advance(net, 1.5);
    log_value(argument, net_now(net));
    take(net, seen);
    net_release(net, other);
}

static void test_wait_is_for_what_it_names(void **state)
{
    (void)state;
    struct rank_log notes = log_run(2, bystander_body);
    EXPECT(&notes, -1, 1, 3);
}

/* A delay that a signal cuts short: to 5 s without one, to its arrival with one. */
static void signal_body(struct net *net, void *argument)
{
    if (net->rank == 1) {
        net_advance(net, 7);
        send_head(net, 0, 9, 3);
        return;
    }
    struct request *heard = net_recv(net, NET_ANY, 9, NULL, 0);
    log_value(argument, net_wait(net, &heard, 1, 5));
    log_value(argument, net_now(net));
    log_value(argument, net_wait(net, &heard, 1, 10));
    log_value(argument, net_now(net));
    log_value(argument, (double)take(net, heard));
    net_advance(net, 0);
    log_value(argument, net_now(net));
}

static void test_interruption(void **state)
{
    (void)state;
    struct rank_log notes = log_run(2, signal_body);
    EXPECT(&notes, -1, 5, 0, 7 + L + H, 3, 7 + L + H);
}

/* Ranks 1, 2, 3 send heads at 1, 2, 3 and once more 10 s later. */
static void any_body(struct net *net, void *argument)
{
    struct rank_log *notes = argument;
    if (net->rank > 0) {
        for (int i = 0; i < 2; i++) {
            net_advance(net, i ? 10 : net->rank);
            send_head(net, 0, 1, 100 * i + net->rank);
        }
        return;
    }
    net_advance(net, 5);
    log_value(notes, (double)take_from(net, 2, 1)); /* out of the middle */
    log_value(notes, (double)take_from(net, NET_ANY, 1));
    log_value(notes, (double)take_from(net, NET_ANY, 1));
    struct request *any = net_recv(net, NET_ANY, 1, NULL, 0), *third = net_recv(net, 3, 1, NULL, 0),
                   *first = net_recv(net, 1, 1, NULL, 0),
                   *last = net_recv(net, NET_ANY, 1, NULL, 0);
    net_wait(net, &third, 1, INFINITY);
    log_value(notes, (double)take(net, any)); /* posted before `first`, takes rank 1's */
    log_value(notes, (double)take(net, third));
    log_value(notes, (double)take(net, last));
    net_release(net, first);
}

static void test_any(void **state)
{
    (void)state;
    struct rank_log notes = log_run(4, any_body);
    EXPECT(&notes, 2, 1, 3, 101, 103, 102);
}

static void cancel_body(struct net *net, void *argument)
{
    if (net->rank == 1) {
        for (int i = 0; i < 3; i++)
            send_head(net, 0, 1, i);
        return;
    }
    struct request *a = net_recv(net, 1, 1, NULL, 0), *b = net_recv(net, NET_ANY, 1, NULL, 0),
                   *c = net_recv(net, 1, 1, NULL, 0);
    net_release(net, a);
    log_value(argument, (double)take(net, b));
    log_value(argument, (double)take(net, c));
    struct request *none = net_recv(net, 1, 2, NULL, 0);
    net_advance(net, 1);
    net_release(net, none);
    log_value(argument, (double)take_from(net, 1, 1)); /* waited without a receive */
}

static void test_cancel(void **state)
{
    (void)state;
    struct rank_log notes = log_run(2, cancel_body);
    EXPECT(&notes, 0, 1, 2);
}

/* Parts of 1/2, 0, 1/4 and 1/8 s. Rank 1 asks for a head that comes in the middle of the third. */
static void parts_body(struct net *net, void *argument)
{
    static const double part[] = {0.5, 0, 0.25, 0.125};
    struct rank_log *notes = argument;
    if (net->rank == 0) {
        net_advance(net, 0.625 - L - H);
        send_head(net, 1, 5, 1);
        send_head(net, 1, 6, 1); /* nobody asks for that yet: it interrupts nothing */
        return;
    }
    struct request *come = net_recv(net, 0, 5, NULL, 0);
    /* the third ends with what has come meanwhile */
    log_value(notes, net_advance_parts(net, part, 4));
    log_value(notes, net_now(net));
    assert_int_equal(net_wait(net, &come, 1, 0), 0);
    net_release(net, come);
    log_value(notes, net_advance_parts(net, part, 4)); /* nothing more has come: all */
    log_value(notes, net_now(net));
    /* is there at once: the next call ends after its first part */
    net_release(net, net_recv(net, 0, 6, NULL, 0));
    log_value(notes, net_advance_parts(net, part, 4));
    log_value(notes, net_now(net));
    log_value(notes, net_advance_parts(net, part + 1, 1)); /* no time at all */
    log_value(notes, net_now(net));
}

static void test_parts(void **state)
{
    (void)state;
    struct rank_log notes = log_run(2, parts_body);
    EXPECT(&notes, 3, 0.75, 4, 1.625, 1, 2.125, 1, 2.125);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wait),
        cmocka_unit_test(test_long_sleep),
        cmocka_unit_test(test_wait_is_for_what_it_names),
        cmocka_unit_test(test_interruption),
        cmocka_unit_test(test_any),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
