/* Are the networks that are no ResNets those that their names say? Against what others published of
 * them, and against torchvision's own list of VGG's tensors. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "problem/problem.h"
#include "resnet/resnet.h"
#include "tests/death_test.h"

/* VGG: torchvision's documentation, in whose units a multiply-add is one FLOP. 2NN: McMahan et al.
 * 2017. OptML: 1,199,882 is PyTorch's MNIST example; the others are sums over the layers:
 *  optml_mnist  320 + 18,496 + 9,216 128 + 128 + 1,290
 *  optml_cifar  896 + 18,496 + 4,096 512 + 512 + 5,130
 *  dinno        78 + 432 64 + 64 + 650 */
static const struct known {
    const char *name;
    int channels, side, classes, units;
    int64_t parameters;
    double multiply_adds, within; /* of one image; relative */
} known[] = {
    {"vgg11", 3, 224, 1000, 18, 132863336, 7.609e9, 1e-3},
    {"vgg16", 3, 224, 1000, 23, 138357544, 15.470e9, 1e-3},
    {"vgg16_bn", 3, 224, 1000, 23, 138365992, 15.470e9, 1e-3},
    {"vgg11", 3, 32, 10, 19, 132863336 - 990 * 4097, 0.2724e9, 1e-3},
    {"optml_mnist", 1, 28, 10, 7, 1199882, 676.0 * 288 + 576.0 * 18432 + 1179648 + 1280, 1e-9},
    {"optml_cifar", 3, 32, 10, 8, 2122186, 1024.0 * 864 + 256.0 * 18432 + 2097152 + 5120, 1e-9},
    {"dinno", 1, 28, 10, 4, 28440, 576.0 * 75 + 27648 + 640, 1e-9},
    {"mlp", 1, 28, 10, 3, 199210, 784.0 * 200 + 40000 + 2000, 1e-9},
};

enum { KNOWN = sizeof known / sizeof *known };

static struct model *built(const char *name, int channels, int side, int classes, const void *own)
{
    struct model *a = xcalloc(1, sizeof *a);
    model_find(name)->build(a, &(struct model_request){.name = name,
                                                       .batch = 2,
                                                       .classes = classes,
                                                       .channels = channels,
                                                       .height = side,
                                                       .width = side,
                                                       .own = own});
    return a;
}

static void test_parameters_and_flops(void **state)
{
    (void)state;
    for (const struct known *k = known; k < known + KNOWN; k++) {
        struct model *a = built(k->name, k->channels, k->side, k->classes, NULL);
        double flops = model_flops(a) / 2;
        if (model_parameters(a) != k->parameters || a->units != k->units)
            fail_msg("%s: %lld parameters in %d units, not %lld in %d", a->name,
                     (long long)model_parameters(a), a->units, (long long)k->parameters, k->units);
        if (!(fabs(flops / k->multiply_adds - 1) <= k->within))
            fail_msg("%s of %d pixels: %.5g multiply-adds, not %.5g", a->name, k->side, flops,
                     k->multiply_adds);
        xfree(a);
    }
}

/* Tensors tile the flat vector in order; stages rise; the last unit has the classes. */
static void test_tables(void **state)
{
    (void)state;
    for (const struct known *k = known; k < known + KNOWN; k++) {
        struct model *a = built(k->name, k->channels, k->side, k->classes, NULL);
        int count;
        int64_t offset = 0;
        struct tensor *t = model_tensors(a, &count);
        for (int i = 0; i < count; offset += t[i++].count) {
            assert_true(t[i].offset == offset && t[i].decays == (t[i].dims > 1));
            assert_true(i == 0 ? t[i].stage == 0
                               : t[i].stage == t[i - 1].stage || t[i].stage == t[i - 1].stage + 1);
        }
        assert_int_equal(offset, model_parameters(a));
        assert_int_equal(a->unit[a->units - 1].shape.out_c, k->classes);
        assert_int_equal(model_statistics(a), strstr(k->name, "_bn") ? 2 * 4224 : 0);
        xfree(t);
        xfree(a);
    }
}

struct attempt {
    const char *name;
    int channels, side;
    const void *own;
};

static void attempt(const void *what)
{
    const struct attempt *a = what;
    built(a->name, a->channels, a->side, 10, a->own);
}

/* Any image from the smallest that its windows allow; below that one line says so. */
static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int least;
    } of[] = {{"vgg16", 32}, {"optml_mnist", 6}, {"optml_cifar", 4}, {"dinno", 6},
              {"mlp", 1},    {"resnet50", 8},    {"resnet20", 8}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        for (int side = of[i].least; side <= 448; side += side < 40 ? 1 : 51) {
            struct model *a = built(of[i].name, 3, side, 7, NULL);
            assert_true(model_parameters(a) > 0);
            xfree(a);
        }
        if (of[i].least > 1)
            assert_dies(2, attempt, &(struct attempt){of[i].name, 3, of[i].least - 1, NULL},
                        (const char *const[]){of[i].name, NULL});
    }
}

static void test_hidden(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t parameters;
    } good[] = {
        {"none", 7850}, {"200,200", 199210}, {"1", 785 + 20}, {"3,5,7", 2355 + 20 + 42 + 80}};
    static const char *const bad[] = {"",     "0",           "-3",
                                      "12,",  ",12",         "12 13",
                                      "1,x",  "99999999999", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1",
                                      "nones"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct model *a = built("mlp", 1, 28, 10, &(struct mlp_options){.hidden = good[i].text});
        assert_int_equal(model_parameters(a), good[i].parameters);
        xfree(a);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_dies(2, attempt, &(struct attempt){"mlp", 1, 28, &(struct mlp_options){bad[i]}},
                    (const char *const[]){"--hidden", NULL});
    struct model *a =
        built("vgg11", 3, 32, 10, &(struct vgg_options){.hidden = "16", .dropout = 0});
    assert_int_equal(a->units, 8 + 5 + 1 + 2);
    assert_string_equal(a->unit[a->units - 1].weight, "classifier.3");
    xfree(a);
}

/* A group norm has the batch norm's tensors, in its places, and no statistics; its groups are 32,
 * or half the channels where these are fewer than 64. */
static void test_group_norm(void **state)
{
    (void)state;
    static const char *const names[] = {"resnet18", "resnet50", "resnet20"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct resnet_options own = {.stem = "imagenet", .groups = 32, .zero_gamma = true};
        struct model *batch = built(names[i], 3, 64, 10, &own);
        own.norm = "group";
        struct model *group = built(names[i], 3, 64, 10, &own);
        int count, same;
        struct tensor *t = model_tensors(batch, &count), *u = model_tensors(group, &same);
        float *w = xcalloc((size_t)model_parameters(batch), sizeof *w),
              *v = xcalloc((size_t)model_parameters(batch), sizeof *v);
        assert_int_equal(count, same);
        assert_int_equal(model_statistics(group), 0);
        for (int k = 0; k < count; k++) {
            assert_string_equal(t[k].name, u[k].name);
            assert_true(t[k].offset == u[k].offset && t[k].count == u[k].count);
            assert_int_equal(t[k].stage, u[k].stage);
        }
        model_initialise(batch, 3, w);
        model_initialise(group, 3, v);
        assert_memory_equal(w, v, (size_t)model_parameters(batch) * sizeof *w);
        for (int k = 0; k < group->units; k++) {
            const struct unit_shape *s = &group->unit[k].shape;
            int wanted = s->out_c < 64 ? s->out_c / 2 : 32;
            assert_int_equal(s->groups, s->kind == UNIT_GROUP_NORM ? wanted : 0);
        }
        own.groups = 24;
        assert_dies(2, attempt, &(struct attempt){names[i], 3, 64, &own},
                    (const char *const[]){"--groups", "channels", NULL});
        void *blocks[] = {t, u, w, v, batch, group};
        for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++)
            xfree(blocks[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters_and_flops),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_hidden),
        cmocka_unit_test(test_group_norm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
