/* Coroutines and the event queue, without a world around them. */
#include "base/coroutine.h"

#include <fenv.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/event_queue.h"
#include "base/random.h"

enum { COUNT = 50, YIELDS = 20 };

struct board {
    struct coroutines *all;
    int turns[COUNT], returned;
    double sums[COUNT];
};

/* Keeps integers and floats in registers and on the stack over every switch, and a rounding mode of
 * its own. */
static void body(void *argument, int index)
{
    struct board *board = argument;
    double x = index, y = 0.5 * index, z = 1;
    long a = index, b = 3, c = 5;
    int mode = index % 2 ? FE_DOWNWARD : FE_TONEAREST;
    fesetround(mode);
    for (int turn = 0; turn < YIELDS; turn++) {
        char text[64];
        snprintf(text, sizeof text, "%d %d", index, turn);
        board->turns[index]++;
        coroutine_yield(board->all);
        char again[64];
        snprintf(again, sizeof again, "%d %d", index, turn);
        if (strcmp(text, again) != 0 || fegetround() != mode)
            return;
        x += y, y += z, a += b, b += c;
    }
    fesetround(FE_TONEAREST);
    board->sums[index] = x + (double)a;
    board->returned++;
}

static void test_coroutines_keep_their_state(void **state)
{
    (void)state;
    struct board board = {0};
    struct random random = random_at(RANDOM_TEST, 3, 0, 0, 0);
    int32_t order[COUNT];
    board.all = coroutines_open(COUNT, 64 << 10, body, &board);
    for (int i = 0; i < COUNT; i++)
        order[i] = i;
    for (int turn = 0; turn <= YIELDS; turn++) {
        random_shuffle(&random, order, COUNT);
        for (int i = 0; i < COUNT; i++) {
            coroutine_resume(board.all, order[i]);
            assert_int_equal(fegetround(), FE_TONEAREST);
        }
    }
    coroutines_close(board.all);
    assert_int_equal(board.returned, COUNT);
    for (int i = 0; i < COUNT; i++) {
        int n = YIELDS;
        assert_int_equal(board.turns[i], n);
        assert_true(board.sums[i] ==
                    i + n * 0.5 * i + n * (n - 1) / 2 + i + 3 * n + 5 * n * (n - 1) / 2);
    }
}

static int dive(volatile char *above, int depth)
{
    volatile char here[512];
    here[0] = (char)(above[0] + 1);
    return depth ? dive(here, depth - 1) + here[0] : here[0];
}

static void dive_body(void *argument, int index)
{
    volatile char top[1] = {0};
    if (index == 1)
        *(int *)argument = dive(top, 1 << 20);
}

/* The guard page: an overflow dies at once instead of running into the stack below. */
static void test_overflow_dies(void **state)
{
    (void)state;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int result = 0;
        close(STDERR_FILENO);
        struct coroutines *all = coroutines_open(3, 64 << 10, dive_body, &result);
        coroutine_resume(all, 1);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
}

struct planned {
    struct event event;
    double when_s;
    int put; /* the order in which it was put down */
};

static int by_time_then_order(const void *a, const void *b)
{
    const struct planned *const *x = a, *const *y = b;
    if ((*x)->when_s != (*y)->when_s)
        return (*x)->when_s < (*y)->when_s ? -1 : 1;
    return ((*x)->put > (*y)->put) - ((*x)->put < (*y)->put);
}

static void test_event_queue_is_a_stable_order(void **state)
{
    (void)state;
    enum { EVENTS = 300, SEEDS = 50 };
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct event_queue queue = {0};
        struct random random = random_at(RANDOM_TEST, seed, 1, 0, 0);
        struct planned list[EVENTS] = {0}, *sorted[EVENTS];
        int put = 0;
        for (int i = 0; i < 2 * EVENTS; i++) { /* the second time half of them are moved */
            struct planned *event = &list[i % EVENTS];
            if (i >= EVENTS && random_below(&random, 2))
                continue;
            event->when_s = (double)random_below(&random, 40);
            event->put = put++;
            event_queue_put(&queue, &event->event, event->when_s);
        }
        for (int i = 0; i < EVENTS; i++)
            sorted[i] = &list[i];
        qsort(sorted, EVENTS, sizeof *sorted, by_time_then_order);
        for (int i = 0; i < EVENTS; i++) {
            assert_true(event_queue_next_s(&queue) == sorted[i]->when_s);
            if (event_queue_next(&queue) != &sorted[i]->event || queue.now_s != sorted[i]->when_s)
                fail_msg("seed %llu: event %d came out of order", (unsigned long long)seed, i);
            assert_int_equal(sorted[i]->event.at, 0);
        }
        assert_true(event_queue_next_s(&queue) == INFINITY);
        assert_null(event_queue_next(&queue));
        event_queue_close(&queue);
    }
}

/* The event that comes next of those that are put down (put > 0); -1: none. */
static int soonest(const struct planned *list, int count)
{
    int next = -1;
    for (int i = 0; i < count; i++)
        if (list[i].put && (next < 0 || list[i].when_s < list[next].when_s ||
                            (list[i].when_s == list[next].when_s && list[i].put < list[next].put)))
            next = i;
    return next;
}

/* As a world uses it: most of what happens puts something down that comes as much later each time,
 * some of it sooner or much later, and now and then one is moved, wherever it is. */
static void test_event_queue_goes_on(void **state)
{
    (void)state;
    enum { EVENTS = 60, TURNS = 3000, SEEDS = 20 };
    static const double later_s[] = {1, 1, 1, 1, 1, 0, 0.5, 30};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct event_queue queue = {0};
        struct random random = random_at(RANDOM_TEST, seed, 2, 0, 0);
        struct planned list[EVENTS] = {0};
        for (int turn = 1; turn <= TURNS; turn++) {
            int next = random_below(&random, 4)
                           ? soonest(list, EVENTS)
                           : -1; /* some are put down while none is taken out */
            if (next >= 0) {
                if (event_queue_next(&queue) != &list[next].event ||
                    queue.now_s != list[next].when_s)
                    fail_msg("seed %llu, turn %d: event %d came out of order",
                             (unsigned long long)seed, turn, next);
                list[next].put = 0;
            }
            struct planned *event = &list[random_below(&random, EVENTS)];
            event->when_s =
                queue.now_s + later_s[random_below(&random, sizeof later_s / sizeof *later_s)];
            event->put = turn;
            event_queue_put(&queue, &event->event, event->when_s);
        }
        for (int next; (next = soonest(list, EVENTS)) >= 0; list[next].put = 0)
            assert_ptr_equal(event_queue_next(&queue), &list[next].event);
        assert_null(event_queue_next(&queue));
        event_queue_close(&queue);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coroutines_keep_their_state),
        cmocka_unit_test(test_overflow_dies),
        cmocka_unit_test(test_event_queue_is_a_stable_order),
        cmocka_unit_test(test_event_queue_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
