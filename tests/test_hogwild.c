/* Hogwild on the virtual clock: gradients are as old as their mini-batch is long, and one-sided
 * access as its way. */
#include "messaging/messaging.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/option_list.h"
#include "tests/quadratic.h"

static double distance(const struct outcome *o)
{
    double sum = 0;
    for (int64_t i = 0; i < o->count; i++)
        sum += (double)o->w[i] * o->w[i];
    return sqrt(sum);
}

/* Do the weights stay where they belong? The optimum is about sqrt(1000) from 0. */
static bool is_stable(const char *scheme, int workers, double lr)
{
    struct option_list w = {0};
    struct experiment e;
    add_plain_sgd(&w, scheme, lr);
    add_option(&w, "network=quadratic");
    add_option(&w, "workers=%d", workers);
    add_option(&w, "minibatches=1");
    add_option(&w, "batch=256");
    add_option(&w, "samples=%d", 256 * 60 * (workers > 1 ? workers : 2));
    quadratic_run(&e, &w);
    bool stable = e.out.status == 0 && distance(&e.out) < 100;
    experiment_close(&e);
    return stable;
}

/* by bisection of the logarithm, to 5 % */
static double largest_stable_rate(const char *scheme, int workers)
{
    double low = 0.01, high = 4;
    assert_true(is_stable(scheme, workers, low));
    assert_false(is_stable(scheme, workers, high));
    while (high > 1.05 * low) {
        double middle = sqrt(low * high);
        if (is_stable(scheme, workers, middle))
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void the_largest_stable_rate_falls_with_the_workers(void **state)
{
    (void)state;
    static const int workers[] = {1, 4, 16};
    double before = INFINITY;
    for (int i = 0; i < 3; i++) {
        double hogwild = largest_stable_rate("hogwild", workers[i]),
               asgd = largest_stable_rate("asgd", workers[i]);
        printf("%2d workers: hogwild %.3f, asgd %.3f\n", workers[i], hogwild, asgd);
        if (!(hogwild < before / 2) || !(hogwild > 0.6 * asgd && hogwild < 1.7 * asgd))
            fail_msg("%d workers: hogwild is stable up to %g, asgd up to %g; with fewer %g",
                     workers[i], hogwild, asgd, before);
        before = hogwild;
    }
}

/* What a get reads and an add meets while it moves: rank 0's vector becomes 1 at half time. */
enum { FLOATS = 1600 };
static const double began_s = 1;

struct seen {
    float got[FLOATS], left[FLOATS];
};

static void body(struct net *net, void *argument)
{
    struct seen *seen = argument;
    const size_t bytes = FLOATS * sizeof(float);
    float *v = net_alloc(net, bytes);
    for (int i = 0; i < FLOATS; i++)
        v[i] = 0;
    struct rma_window *window = net_window_open(net, 0, net->rank ? NULL : v, bytes);
    net_barrier(net); /* where ranks leave at different times */
    net_advance(net, began_s - net_now(net));
    if (net->rank == 1) {
        net_window_get(window, seen->got, 0, bytes); /* 1/8 + 1 s */
        assert_true(fabs(net_now(net) - began_s - 1.125) < 1e-9);
        for (int i = 0; i < FLOATS; i++)
            v[i] = 10;
        net_window_add(window, v, 0, FLOATS);
        assert_true(fabs(net_now(net) - began_s - 2.25) < 1e-9);
    } else {
        net_advance(net, 0.47);
        for (int i = 0; i < FLOATS; i++)
            v[i] = 1;
        net_advance(net, 1.75 + 0.01 - 0.47);
        for (int i = 0; i < FLOATS; i++)
            v[i] *= 2;
    }
    net_barrier(net);
    for (int i = 0; i < FLOATS && net->rank == 0; i++)
        seen->left[i] = v[i];
    net_window_close(window);
    net_free(net, v);
}

static void one_sided_access_moves_in_pieces(void **state)
{
    (void)state;
    struct seen *seen = xcalloc(1, sizeof *seen);
    sim_run(
        &(struct world_options){
            .ranks = 2, .latency_s = 0.125, .bandwidth = FLOATS * sizeof(float), .seed = 1},
        body, seen);
    /* A get: the pieces that left before half time are old. An add: those that came before rank 0
     * doubled its vector were doubled, too. */
    for (int i = 0; i < FLOATS; i++) {
        assert_true(seen->got[i] == (i < FLOATS / 2 ? 0 : 1));
        assert_true(seen->left[i] == (i < FLOATS / 2 ? 22 : 12));
    }
    xfree(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_stable_rate_falls_with_the_workers),
        cmocka_unit_test(one_sided_access_moves_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
