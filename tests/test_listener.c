/* Who listens to a network hears of each unit: that is how a rank shows that it goes on while one
 * mini-batch takes minutes, and how a simulated run hears of a signal in the middle of one. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"
#include "scheme/scheme.h"
#include "tests/death_test.h"
#include "tests/network_fixture.h"
#include "tests/scheme_harness.h"

static void count(void *self, const char *what)
{
    assert_null(what);
    ++*(int *)self;
}

static void test_each_unit_is_heard_of(void **state)
{
    (void)state;
    int heard = 0;
    struct model a;
    const struct resnet_options own = {.stem = "cifar"};
    const struct model_request request = {.name = "resnet20",
                                          .batch = 1,
                                          .classes = 10,
                                          .channels = 3,
                                          .height = 32,
                                          .width = 32,
                                          .own = &own};
    model_resnet.build(&a, &request);
    const struct backend *ref = backend_find("ref", DTYPE_F32);
    struct device *d =
        ref->open(&(struct device_options){.threads = 1, .dtype = DTYPE_F32, .quiet = true});
    struct network *n = network_open(&a, ref, d, 0, true, (struct network_listener){count, &heard});
    assert_int_equal(heard, a.units);

    float *w = xcalloc((size_t)model_parameters(&a), sizeof *w),
          *statistics = xcalloc((size_t)model_statistics(&a) + 1, sizeof *statistics);
    double *sums = xcalloc((size_t)model_statistics(&a) + 1, sizeof *sums);
    float *floats = alloc_pages(3 * 32 * 32 * sizeof *floats);
    const int32_t label = 0;
    const struct images images = {.floats = floats};
    struct loss loss = {0};
    heard = 0;
    network_statistics(n, (struct weights){w, 1}, images, sums);
    assert_int_equal(heard, a.units);
    heard = 0;
    network_evaluate(n, (struct weights){w, 1}, statistics, images, &label, 1, &loss);
    assert_int_equal(heard, a.units);
    heard = 0;
    float *g = xcalloc((size_t)model_parameters(&a), sizeof *g);
    network_gradient(n, (struct weights){w, 1}, images, &label, g, &loss, NULL, NULL);
    assert_int_equal(heard, 2 * a.units);
    xfree(g);
    network_close(n);
    ref->close(d);
    xfree(w);
    xfree(statistics);
    xfree(sums);
    xfree(floats);
}

/* --- a signal in the middle of a simulated gradient --- */

static volatile sig_atomic_t asked;
static const struct problem_kind *real;

/* The run does not come to its end: it leaves inside. */
static bool long_gradient(struct problem *p, struct stream *s, int64_t index, struct weights w,
                          float *g, struct loss *loss, network_hook *hook, void *self)
{
    asked = SIGTERM;
    real->gradient(p, s, index, w, g, loss, hook, self);
    _exit(99);
}

static void run_rank(struct net *net, void *context)
{
    struct node *n = node_open(net, context);
    const struct scheme *scheme = scheme_find("ssgd");
    (n->worker >= 0 ? scheme->work : scheme->serve)(n);
    node_close(n);
}

static void train(const void *unused)
{
    (void)unused;
    enum { RANKS = 4 };
    static const char *const words[] = {"scheme=ssgd",
                                        "network=lenet5",
                                        "dataset=synthetic",
                                        "train-samples=64",
                                        "eval-samples=4",
                                        "eval-batches=1",
                                        "batch=4",
                                        "minibatches=1",
                                        "backend=ref",
                                        "world=sim",
                                        "workers=3",
                                        "stop-within=0",
                                        NULL};
    struct experiment e;
    struct run_context c;
    experiment_defaults(&e, words);
    run_context_open(&c, &(struct run_context_request){.options = &e.options,
                                                       .ranks = RANKS,
                                                       .cores = 1,
                                                       .serves = true,
                                                       .trains = true,
                                                       .simulated = true,
                                                       .stop_requested = &asked});
    real = c.problem->kind;
    struct problem_kind kind = *real;
    kind.gradient = long_gradient;
    c.problem->kind = &kind;
    sim_run(&(struct world_options){.ranks = RANKS, .bandwidth = 1e9}, run_rank, &c);
}

static void test_a_signal_is_heard_in_a_simulated_gradient(void **state)
{
    (void)state;
    assert_dies(EXIT_STOPPED, train, NULL,
                (const char *const[]){"asked to stop by SIGTERM",
                                      "stopped in the middle of an update", NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_unit_is_heard_of),
        cmocka_unit_test(test_a_signal_is_heard_in_a_simulated_gradient)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
