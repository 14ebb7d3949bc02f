/* Who listens to a network hears of each unit: that is how a rank shows that it goes on while one
 * mini-batch takes minutes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/network_fixture.h"

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
    struct network *n =
        network_open(&a, ref, d, 0, false, (struct network_listener){count, &heard});
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
    network_close(n);
    ref->close(d);
    xfree(w);
    xfree(statistics);
    xfree(sums);
    xfree(floats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_unit_is_heard_of)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
