/* Has cuDNN a plan for every convolution of every ResNet on a GPU that is not here, and are those
 * that we would take fit?
 *
 * The GPU is an H200 in words (h200.json). What plans compute on a GPU is in test_plans_run.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "backend/cudnn/convolve.h"
#include "backend/cudnn/kernels.h"
#include "base/alloc.h"
#include "base/check.h"
#include "resnet/resnet.h"
#include "tests/cuda/convolution.h"
#include "tests/death_test.h"

static const struct {
    const char *name, *stem;
    int side, classes;
} networks[] = {
    {"resnet18", "cifar", 32, 10},        {"resnet18", "imagenet", 32, 10},
    {"resnet18", "imagenet", 224, 1000},  {"resnet34", "cifar", 32, 10},
    {"resnet34", "imagenet", 32, 10},     {"resnet34", "imagenet", 224, 1000},
    {"resnet50", "cifar", 32, 10},        {"resnet50", "imagenet", 32, 10},
    {"resnet50", "imagenet", 224, 1000},  {"resnet101", "cifar", 32, 10},
    {"resnet101", "imagenet", 32, 10},    {"resnet101", "imagenet", 224, 1000},
    {"resnet152", "cifar", 32, 10},       {"resnet152", "imagenet", 32, 10},
    {"resnet152", "imagenet", 224, 1000}, {"resnet20", "cifar", 32, 10},
    {"resnet32", "cifar", 32, 10},        {"resnet44", "cifar", 32, 10},
    {"resnet56", "cifar", 32, 10},        {"resnet110", "cifar", 32, 10},
};

static const struct {
    enum backend_dtype dtype;
    int batch;
    bool tf32;
} settings[] = {{DTYPE_BF16, 128, false},
                {DTYPE_BF16, 512, false},
                {DTYPE_F32, 128, false},
                {DTYPE_F32, 128, true}};

enum {
    NETWORKS = sizeof networks / sizeof *networks,
    SETTINGS = sizeof settings / sizeof *settings
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum { JSON = 4096 };

/* The GPU in words. */
static const char *read_h200(char json[JSON])
{
    FILE *file = fopen("tests/cuda/h200.json", "r");
    assert_non_null(file);
    size_t length = fread(json, 1, JSON - 1, file);
    fclose(file);
    assert_true(length > 0 && length < JSON - 1);
    json[length] = '\0';
    return json;
}

static struct convolver *described(bool tf32)
{
    char json[JSON];
    return convolver_open(read_h200(json), tf32);
}

/* As the backend lays the unit out: the images' channels are padded, and the logits'. */
static struct unit_shape laid_out(const struct unit_shape *unit)
{
    struct unit_shape s = *unit;
    if (s.first)
        s.in_c = kernel_padded(s.in_c);
    if (s.kind == UNIT_DENSE)
        s.out_c = kernel_padded(s.out_c);
    return s;
}

/* What was seen of the plans that would run. */
struct census {
    int shapes, plans, wander, compile;
    size_t workspace;
};

static void look_at(const struct convolve *c, const struct unit_shape *s, enum backend_dtype dtype,
                    bool tf32, struct census *seen)
{
    seen->shapes++;
    if (convolve_workspace(c) > seen->workspace)
        seen->workspace = convolve_workspace(c);
    for (enum direction d = 0; d < DIRECTIONS; d++) {
        if (d == BACKWARD_DATA && s->first)
            continue;
        const struct plan *p = convolve_plan(c, d);
        seen->plans++;
        seen->wander += p->wanders;
        seen->compile += p->compiles;
        if (!p->built || p->narrows != tf32 || p->tf32 != tf32 ||
            (dtype == DTYPE_BF16 && !p->tensor_cores))
            fail_msg("%s of %d x %dx%dx%d to %d channels: plan \"%s\" is %s", direction_name[d],
                     s->batch, s->in_h, s->in_w, s->in_c, s->out_c, p->name,
                     !p->built              ? "not built"
                     : p->narrows > tf32    ? "too narrow"
                     : p->narrows > p->tf32 ? "narrower than TF32"
                                            : "not on the tensor cores");
    }
}

/* Opens what is not open yet, in open[*count]. */
static void open_network(struct convolver *v, const struct model *a, enum backend_dtype dtype,
                         bool tf32, struct convolve **open, int *count, struct census *seen)
{
    for (int i = 0; i < a->units; i++) {
        const struct unit_shape s = laid_out(&a->unit[i].shape);
        bool known = false;
        if (s.kind != UNIT_CONV && s.kind != UNIT_DENSE)
            continue;
        struct convolve *c = convolve_open(v, &s, dtype);
        for (int k = 0; k < *count && !known; k++)
            known = open[k] == c;
        if (known) {
            convolve_close(c);
            continue;
        }
        assert_true(*count < MAX_UNITS);
        open[(*count)++] = c;
        look_at(c, &s, dtype, tf32, seen);
    }
}

/* convolve_open() ends the program where there is no plan, and names the shape. */
static void test_every_convolution_has_plans(void **state)
{
    (void)state;
    struct convolve **open = xcalloc(MAX_UNITS, sizeof *open);
    struct model *a = xcalloc(1, sizeof *a);
    for (int k = 0; k < SETTINGS; k++) {
        struct convolver *v = described(settings[k].tf32);
        struct census seen = {0};
        int count = 0;
        double begin = now();
        for (int i = 0; i < NETWORKS; i++) {
            const struct resnet_options own = {.stem = networks[i].stem};
            model_resnet.build(a, &(struct model_request){.name = networks[i].name,
                                                          .batch = settings[k].batch,
                                                          .classes = networks[i].classes,
                                                          .channels = 3,
                                                          .height = networks[i].side,
                                                          .width = networks[i].side,
                                                          .own = &own});
            open_network(v, a, settings[k].dtype, settings[k].tf32, open, &count, &seen);
        }
        print_message("%s, batch %d: %d shapes, %d plans in %.1f s, %d that wander, %d compiled, "
                      "at most %.1f MiB of workspace\n",
                      settings[k].dtype == DTYPE_BF16 ? "bf16"
                      : settings[k].tf32              ? "tf32"
                                                      : "f32",
                      settings[k].batch, seen.shapes, seen.plans, now() - begin, seen.wander,
                      seen.compile, (double)seen.workspace / 1048576);
        /* the four stems have no backward data */
        assert_int_equal(seen.plans, 3 * seen.shapes - 4);
        assert_int_equal(seen.wander, 0);
        assert_int_equal(seen.compile, 0);
        while (count)
            convolve_close(open[--count]);
        convolver_close(v);
    }
    xfree(a);
    xfree(open);
}

/* A dense layer is a convolution of one pixel, so the two are one; another type or batch is
 * another. */
static void test_equal_shapes_share_their_plans(void **state)
{
    (void)state;
    struct convolver *v = described(false);
    struct unit_shape s = conv_shape(128, 512, 1, 64, 1, 1), dense = s, other = s;
    dense.kind = UNIT_DENSE;
    dense.norm = dense.relu = true;
    other.batch = 64;
    struct convolve *a = convolve_open(v, &s, DTYPE_BF16),
                    *b = convolve_open(v, &dense, DTYPE_BF16);
    struct convolve *c = convolve_open(v, &s, DTYPE_F32), *d = convolve_open(v, &other, DTYPE_BF16);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_ptr_not_equal(a, d);
    convolve_close(a);
    assert_true(convolve_plan(b, FORWARD)->built != NULL);
    convolve_close(c);
    convolve_close(b);
    convolve_close(d);
    convolver_close(v);
}

/* "engine 62-2f822492" and "engine 62-28a879b3": one kernel, other settings. */
static bool same_engine(const char *a, const char *b)
{
    return strcspn(a, "-") == strcspn(b, "-") && !strncmp(a, b, strcspn(a, "-"));
}

static void choose_by_name(bool tf32)
{
    char json[JSON], before[PLAN_NAME];
    struct convolver *v = described(tf32);
    const struct unit_shape s = conv_shape(128, 64, 32, 64, 3, 1);
    struct convolve *c = convolve_open(v, &s, DTYPE_F32);
    struct planner *planner = planner_describe(read_h200(json));
    int chosen = 0, refused = 0, settings_alone = 0, narrow = 0;
    for (enum direction d = 0; d < DIRECTIONS; d++) {
        struct plans *all = plans_open(planner, d, &s, DTYPE_F32);
        for (int i = 0; i < all->count; i++) {
            for (int k = 0; k < i; k++) {
                assert_string_not_equal(all->plan[k].name, all->plan[i].name);
                settings_alone += same_engine(all->plan[k].name, all->plan[i].name);
            }
            memcpy(before, convolve_plan(c, d)->name, sizeof before);
            bool took = convolve_choose(c, d, all->plan[i].name);
            assert_string_equal(convolve_plan(c, d)->name, took ? all->plan[i].name : before);
            assert_true(convolve_plan(c, d)->built != NULL);
            assert_false(took && all->plan[i].narrows && !(tf32 && all->plan[i].tf32));
            chosen += took;
            narrow += took && all->plan[i].tf32;
            refused += !took && all->plan[i].narrows;
        }
        assert_false(convolve_choose(c, d, "engine 9999-00000000"));
        plans_close(all);
    }
    print_message("%s: %d plans to choose from, %d refused since they narrow\n",
                  tf32 ? "tf32" : "float32", chosen, refused);
    assert_true(chosen - narrow > DIRECTIONS && settings_alone > 0 &&
                (tf32 ? narrow > DIRECTIONS : refused > 0));
    planner_close(planner);
    convolve_close(c);
    convolver_close(v);
}

/* Every fit plan can be chosen by its name; names differ, by their settings too; a name from
 * elsewhere, or of a plan that narrows more than is allowed, changes nothing. */
static void test_plans_are_chosen_by_name(void **state)
{
    (void)state;
    choose_by_name(false);
    choose_by_name(true);
}

static void open_impossible(const void *argument)
{
    (void)argument;
    struct convolver *v = described(false);
    struct unit_shape s = conv_shape(128, 64, 32, 64, 3, 2);
    s.out_h++; /* one row more than there is */
    convolve_open(v, &s, DTYPE_BF16);
}

static void test_an_impossible_shape_is_named(void **state)
{
    (void)state;
    assert_dies(EXIT_WORLD, open_impossible, NULL, (const char *const[]){"cuDNN", NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_impossible_shape_is_named), /* first: it forks, which CUDA doesn't
                                                                like once it is awake */
        cmocka_unit_test(test_every_convolution_has_plans),
        cmocka_unit_test(test_equal_shapes_share_their_plans),
        cmocka_unit_test(test_plans_are_chosen_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
