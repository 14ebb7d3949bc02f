/* How much memory a network's tensors take: little more than must live at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/backend_spy.h"
#include "tests/network_fixture.h"

enum { SEED = 3 };

static const struct fixture_options large = {
    .stem = "imagenet",
    .model =
        {.name = "resnet18", .batch = 2, .classes = 7, .channels = 3, .height = 40, .width = 40},
    .seed = SEED,
    .threads = 2,
};

/* All outputs and saved tensors live when backward begins: nothing can do with less, and the
 * gradients that come then must fit into what is free by and by. Only opened, on the plain loops,
 * whose tensors are as large as they must be. */
static void test_bytes_of_training(void **state)
{
    (void)state;
    static const struct {
        const char *name, *stem;
        int side;
    } of[] = {{"resnet20", "cifar", 32}, {"resnet50", "cifar", 32}, {"resnet50", "imagenet", 64}};
    const struct backend *ref = backend_find("ref", DTYPE_F32);
    for (int i = 0; i < 3; i++) {
        struct model a;
        const struct resnet_options own = {.stem = of[i].stem};
        const struct model_request request = {.name = of[i].name,
                                              .batch = 32,
                                              .classes = 10,
                                              .channels = 3,
                                              .height = of[i].side,
                                              .width = of[i].side,
                                              .own = &own};
        model_resnet.build(&a, &request);
        struct device *d =
            ref->open(&(struct device_options){.threads = 1, .dtype = DTYPE_F32, .quiet = true});
        struct network *n =
            network_open(&a, spy_on(ref, false), d, 0, true, (struct network_listener){NULL, NULL});
        double bytes = (double)network_bytes(n), part = bytes / (double)spy_kept();
        print_message("%s, %s stem, batch 32 of %d x %d: %.1f MB, %.3f of what must be kept\n",
                      a.name, of[i].stem, of[i].side, of[i].side, 1e-6 * bytes, part);
        assert_true(part >= 1 && part <= 1.1);
        network_close(n);
        ref->close(d);
    }
}

/* An evaluation alone wants no more than what a block holds at once: its input, its skip and two
 * tensors of its own. */
static void test_bytes_of_evaluation(void **state)
{
    (void)state;
    struct engine engines[MOST_ENGINES];
    list_engines(engines);
    struct fixture_options options = large;
    options.model.name = "resnet50";
    struct network_fixture r;
    fixture_open(&r, &engines[0], &options);
    struct network *n = network_open(&r.a, spy_on(engines[0].backend, false), r.device, 0, false,
                                     (struct network_listener){NULL, NULL});
    struct loss loss = {0};
    network_evaluate(n, (struct weights){r.w, r.weights_version}, r.statistics, r.images, r.labels,
                     r.a.batch, &loss);
    double outputs = (double)network_bytes(n) / (double)spy_greatest();
    print_message("%s: an evaluation takes the memory of %.2f outputs\n", r.name, outputs);
    assert_true(outputs >= 2 && outputs <= 4);
    network_close(n);
    fixture_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_of_training),
        cmocka_unit_test(test_bytes_of_evaluation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
