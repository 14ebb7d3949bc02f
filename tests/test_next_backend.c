/* A unit that a backend lacks: the next backend that has all units of the network computes it, and
 * a line says so; where there is none, the run is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"
#include "network/network.h"
#include "problem/problem.h"
#include "tests/death_test.h"

static bool basic_alone(enum backend_dtype dtype, const struct unit_shape *s)
{
    (void)dtype;
    return unit_is_basic(s);
}

static bool none_in_bf16(enum backend_dtype dtype, const struct unit_shape *s)
{
    (void)s;
    return dtype != DTYPE_BF16;
}

/* Stand for a backend before all others, and for one after them. */
static const struct backend before = {.name = "before", .has_unit = basic_alone},
                            after = {.name = "after", .has_unit = none_in_bf16};

struct asked {
    const char *network;
    const struct backend *first;
    enum backend_dtype dtype;
    bool says;
};

static void ask(const void *argument)
{
    const struct asked *k = argument;
    struct model *m = xcalloc(1, sizeof *m);
    const struct model_kind *kind = model_find(k->network);
    kind->build(m, &(struct model_request){.name = k->network,
                                           .batch = 2,
                                           .classes = 10,
                                           .channels = 1,
                                           .height = 28,
                                           .width = 28});
    fprintf(stderr, "by %s", network_backend(m, k->first, k->dtype, k->says)->name);
    xfree(m);
    exit(0);
}

static void answers(struct asked k, const char *wanted)
{
    char said[1000];
    assert_int_equal(death_test(ask, &k, said, sizeof said), 0);
    assert_string_equal(said, wanted);
}

/* The first of the list that has the units of mlp; cudnn, where it is built in, has not. */
static const char *next_name(void)
{
    return backends[strcmp(backends[0]->name, "cudnn") ? 0 : 1]->name;
}

static void test_the_next_one_computes(void **state)
{
    (void)state;
    char wanted[300];
    snprintf(
        wanted, sizeof wanted,
        "nbsgd: backend before has no unit `hidden dense of an image + ReLU`, which mlp needs: "
        "%s computes it\nby %s",
        next_name(), next_name());
    answers((struct asked){"mlp", &before, DTYPE_F32, true}, wanted);
    snprintf(wanted, sizeof wanted, "by %s", next_name());
    answers((struct asked){"mlp", &before, DTYPE_F32, false}, wanted);
    answers((struct asked){"resnet20", &before, DTYPE_F32, true}, "by before");
    answers((struct asked){"mlp", &after, DTYPE_F32, true}, "by after");
}

static void test_where_there_is_none(void **state)
{
    (void)state;
    bool any = false;
    for (int i = 0; backends[i]; i++)
        any |= backends[i]->has(DTYPE_BF16);
    const struct asked k = {"mlp", &after, DTYPE_BF16, true};
    if (any)
        skip();
    assert_dies(EXIT_USER, ask, &k,
                (const char *const[]){"backend after has no unit `hidden dense", " in bf16",
                                      "no other backend here has it; choose --dtype f32", NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_next_one_computes),
        cmocka_unit_test(test_where_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
