/* What schemes lean on in the parameter server, asked by schemes that are made for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"
#include "tests/scheme_harness.h"

enum { ROUNDS = 300, WORKERS = 3 };

static const double all[WORKERS] = {1, 1, 1};

static void run(struct experiment *e, const struct scheme *s, int workers, const char *const *words)
{
    experiment_defaults(e, words);
    e->workers = workers;
    e->scheme = s;
    experiment_run(e);
}

/* Gives with a pull under way: in even rounds the server takes the push first, in odd ones it wants
 * its weights taken first. */
static void give_and_pull(struct node *n)
{
    struct ps_client *ps = ps_client_open(n);
    ps_pull(ps, n->w);
    for (int round = 0; ps_wait(ps); round++) {
        node_batch(n);
        ps_push_async(ps, n->sum);
        ps_pull(ps, n->w);
        assert_int_equal(ps_flush_or_pull(ps), round % 2 == 0);
    }
    ps_client_close(ps);
}

static void take_or_answer(struct node *n)
{
    struct ps_server *ps = ps_server_open(n);
    ps_reply_all(ps);
    for (int round = 0; ps_next(ps); round++) {
        if (round % 2)
            ps_reply(ps, 0);
        if (!n->stop)
            ps_step(ps, all);
        if (round % 2 == 0) {
            net_advance(n->net, 1);
            ps_reply(ps, 0);
        }
    }
    ps_server_close(ps);
}

static void who_gives_hears_of_weights_that_come_first(void **state)
{
    (void)state;
    const struct scheme s = {.name = "asgd", .work = give_and_pull, .serve = take_or_answer};
    struct experiment e;
    run(&e, &s, 1,
        (const char *const[]){"scheme=asgd", "batch=8", "minibatches=1", "samples=408", "lr=1",
                              "momentum=0", NULL});
    assert_int_equal(e.out.samples, 408);
    experiment_close(&e);
}

/* Ten times slower than a mini-batch: there are always several pushes to take. */
static void serve_slowly(struct node *n)
{
    struct ps_server *ps = ps_server_open(n);
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));) {
        if (a->departed)
            continue;
        net_advance(n->net, 10 * n->context->minibatch_s);
        ps_step(ps, all);
        ps_reply(ps, a->worker);
    }
    ps_server_close(ps);
}

static void no_worker_starves_at_a_busy_server(void **state)
{
    (void)state;
    const struct scheme s = {.name = "asgd", .work = ps_work, .serve = serve_slowly};
    struct experiment e;
    run(&e, &s, WORKERS,
        (const char *const[]){"scheme=asgd", "batch=8", "minibatches=1", "samples=2400", "lr=1",
                              "momentum=0", NULL});
    for (int i = 0; i < WORKERS; i++)
        assert_in_range(e.out.worker[i].minibatches, ROUNDS / WORKERS - 1, ROUNDS / WORKERS + 2);
    experiment_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_gives_hears_of_weights_that_come_first),
        cmocka_unit_test(no_worker_starves_at_a_busy_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
