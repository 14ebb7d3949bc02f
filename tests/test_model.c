/* Is each network the one that its name says? Against what others published of it, and against
 * torchvision's own list.
 *
 * Parameters: torchvision's documentation, and for He's small networks sums from section 4.2 of the
 * paper, which rounds them (0.27M, 0.46M, 0.66M, 0.85M, 1.7M). FLOPs: torchvision's documentation
 * (in its units a multiply-add is one), He et al. 2015, and Li et al. 2017 ("Pruning filters",
 * table 1). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"
#include "base/alloc.h"
#include "resnet/resnet.h"

static const struct {
    const char *name, *stem;
    int classes, side;
    int64_t parameters;
    double multiply_adds, within; /* of one image; relative */
} known[] = {
    {"resnet18", "imagenet", 1000, 224, 11689512, 1.814e9, 5e-4},
    {"resnet34", "imagenet", 1000, 224, 21797672, 3.664e9, 5e-4},
    {"resnet50", "imagenet", 1000, 224, 25557032, 4.089e9, 5e-4},
    {"resnet101", "imagenet", 1000, 224, 44549160, 7.801e9, 5e-4},
    {"resnet152", "imagenet", 1000, 224, 60192808, 11.514e9, 5e-4},
    /* With a 3x3 stem: 64 (49 - 9) 3 weights fewer. The FLOPs are those of the usual "ResNet-18 for
     * CIFAR", 0.56e9, and so on. */
    {"resnet18", "cifar", 10, 32, 11689512 - 7680 - 990 * 513, 0.56e9, 1e-2},
    {"resnet34", "cifar", 10, 32, 21797672 - 7680 - 990 * 513, 1.16e9, 1e-2},
    {"resnet50", "cifar", 10, 32, 25557032 - 7680 - 990 * 2049, 1.30e9, 1e-2},
    {"resnet101", "cifar", 10, 32, 44549160 - 7680 - 990 * 2049, 2.51e9, 1e-2},
    {"resnet152", "cifar", 10, 32, 60192808 - 7680 - 990 * 2049, 3.72e9, 1e-2},
    {"resnet20", "cifar", 10, 32, 269722, 0.0406e9, 5e-3},
    {"resnet32", "cifar", 10, 32, 464154, 0.0689e9, 5e-3},
    {"resnet44", "cifar", 10, 32, 658586, 0.0972e9, 5e-3},
    {"resnet56", "cifar", 10, 32, 853018, 0.125e9, 5e-3},   /* Li et al.: 1.25e8 */
    {"resnet110", "cifar", 10, 32, 1727962, 0.253e9, 5e-3}, /* Li et al.: 2.53e8 */
};

enum { KNOWN = sizeof known / sizeof *known };

static struct model *described(const char *name, const char *stem, int batch, int classes, int side)
{
    struct model *a = xcalloc(1, sizeof *a);
    const struct resnet_options options = {.name = name,
                                           .stem = stem,
                                           .batch = batch,
                                           .classes = classes,
                                           .channels = 3,
                                           .height = side,
                                           .width = side};
    resnet_describe(a, &options);
    return a;
}

static void test_parameters_and_flops(void **state)
{
    (void)state;
    for (int i = 0; i < KNOWN; i++) {
        struct model *a =
            described(known[i].name, known[i].stem, 2, known[i].classes, known[i].side);
        if (model_parameters(a) != known[i].parameters)
            fail_msg("%s, %s stem: %lld parameters, not %lld", a->name, known[i].stem,
                     (long long)model_parameters(a), (long long)known[i].parameters);
        double flops = model_flops(a) / 2;
        if (!(fabs(flops / known[i].multiply_adds - 1) <= known[i].within))
            fail_msg("%s, %s stem: %.4g multiply-adds, not %.4g", a->name, known[i].stem, flops,
                     known[i].multiply_adds);
        xfree(a);
    }
}

/* What holds of every list: the tensors tile the flat vector in order, weights alone decay, stages
 * rise, the steps' shares make one. */
static void test_tables(void **state)
{
    (void)state;
    for (int i = 0; i < KNOWN; i++) {
        struct model *a =
            described(known[i].name, known[i].stem, 1, known[i].classes, known[i].side);
        int count, statistics;
        struct tensor *t = model_tensors(a, &count), *s = model_statistic_tensors(a, &statistics);
        int64_t offset = 0;
        for (int k = 0; k < count; offset += t[k++].count) {
            int64_t floats = 1;
            for (int d = 0; d < t[k].dims; d++)
                floats *= t[k].shape[d];
            assert_true(t[k].offset == offset && t[k].count == floats);
            assert_int_equal(t[k].decays, t[k].dims > 1);
            assert_true(k == 0 ? t[k].stage == 0
                               : t[k].stage == t[k - 1].stage || t[k].stage == t[k - 1].stage + 1);
        }
        assert_int_equal(offset, model_parameters(a));
        offset = 0;
        for (int k = 0; k < statistics; offset += s[k++].count)
            assert_int_equal(s[k].offset, offset);
        assert_int_equal(offset, model_statistics(a));
        double sum = 0;
        for (int step = 0; step < 2 * a->units; step++)
            sum += model_unit_share(a, step);
        assert_true(fabs(sum - 1) < 1e-12);
        xfree(t);
        xfree(s);
        xfree(a);
    }
}

/* Reads "NAME 64 3 7 7" and holds it against the next tensor of that name's kind. */
static void compare_line(const char *network, char *line, const struct tensor *tensors, int count,
                         int *next)
{
    char name[100] = "";
    int used = 0, dims = 0, shape[4] = {0}, more;
    sscanf(line, "%99s%n", name, &used);
    for (char *at = line + used; dims < 4 && sscanf(at, "%d%n", &shape[dims], &more) == 1;
         at += more)
        dims++;
    if (*next >= count)
        fail_msg("%s: torchvision has %s, we have no more", network, name);
    const struct tensor *t = &tensors[(*next)++];
    if (strcmp(t->name, name) || t->dims != dims ||
        memcmp(t->shape, shape, (size_t)dims * sizeof *shape))
        fail_msg("%s, tensor %d: torchvision has `%s`, we have %s [%d %d %d %d]", network,
                 *next - 1, strtok(line, "\n"), t->name, t->shape[0], t->shape[1], t->shape[2],
                 t->shape[3]);
}

static void test_names_are_torchvisions(void **state)
{
    (void)state;
    FILE *f = fopen("tests/reference/torchvision.txt", "r");
    if (!f)
        fail_msg("tests/reference/torchvision.txt is missing; reference/step.py writes it");
    char line[200], network[40] = "";
    struct tensor *w = NULL, *s = NULL;
    int counts[2] = {0}, next[2] = {0}, networks = 0;
    while (fgets(line, sizeof line, f)) {
        if (line[0] == '#')
            continue;
        if (sscanf(line, "network %39s", network) == 1) {
            assert_true(next[0] == counts[0] && next[1] == counts[1]);
            xfree(w);
            xfree(s);
            struct model *a = described(network, "imagenet", 1, 1000, 224);
            w = model_tensors(a, &counts[0]);
            s = model_statistic_tensors(a, &counts[1]);
            xfree(a);
            next[0] = next[1] = 0;
            networks++;
        } else {
            bool statistic = strstr(line, ".running_");
            compare_line(network, line, statistic ? s : w, counts[statistic], &next[statistic]);
        }
    }
    fclose(f);
    assert_true(next[0] == counts[0] && next[1] == counts[1] && networks == 2);
    xfree(w);
    xfree(s);
}

/* Is v[] what draws of zero mean, this deviation and none beyond the bound would be? Six standard
 * errors of mean and of mean square (whose variance is a normal draw's at most). */
static void assert_drawn(const char *what, const float *v, int64_t count, double deviation,
                         double bound)
{
    double sum = 0, squares = 0, greatest = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += v[i];
        squares += (double)v[i] * v[i];
        greatest = fmax(greatest, fabs(v[i]));
    }
    double error = 6 / sqrt((double)count), mean = sum / (double)count,
           square = squares / (double)count;
    if (!(fabs(mean) <= error * deviation &&
          fabs(square / (deviation * deviation) - 1) <= error * sqrt(2) && greatest <= bound))
        fail_msg("%s: mean %g, root mean square %g, greatest %g of %lld floats; deviation should "
                 "be %g, bound %g",
                 what, mean, sqrt(square), greatest, (long long)count, deviation, bound);
}

static bool all_are(const float *v, int64_t count, float what)
{
    for (int64_t i = 0; i < count; i++)
        if (v[i] != what)
            return false;
    return true;
}

/* He's initialisation; with zero_gamma each block starts as its shortcut: bn3 of a bottleneck, bn2
 * of a basic block. */
static void check_first_weights(const char *name, const char *last_norm, bool zero_gamma)
{
    struct model *a = described(name, "cifar", 1, 1000, 32);
    int count, zeros = 0;
    struct tensor *t = model_tensors(a, &count);
    float *w = xcalloc((size_t)model_parameters(a), sizeof *w);
    model_initialise(a, 7, zero_gamma, w);
    for (int k = 0; k < count; k++) {
        const float *v = w + t[k].offset;
        bool last = strstr(t[k].name, last_norm) != NULL;
        if (t[k].dims == 4)
            assert_drawn(t[k].name, v, t[k].count,
                         sqrt(2.0 / (t[k].shape[0] * t[k].shape[2] * t[k].shape[3])), INFINITY);
        else if (k >= count - 2)
            assert_drawn(t[k].name, v, t[k].count, 1 / sqrt(3.0 * t[count - 2].shape[1]),
                         1 / sqrt(t[count - 2].shape[1]));
        else if (strstr(t[k].name, ".weight"))
            assert_true(all_are(v, t[k].count, zero_gamma && last ? 0 : 1));
        else
            assert_true(all_are(v, t[k].count, 0));
        zeros += zero_gamma && last && strstr(t[k].name, ".weight");
    }
    assert_int_equal(zeros > 0, zero_gamma);
    xfree(w);
    xfree(t);
    xfree(a);
}

static void test_first_weights(void **state)
{
    (void)state;
    for (int zero_gamma = 0; zero_gamma < 2; zero_gamma++) {
        check_first_weights("resnet20", ".bn2.weight", zero_gamma);
        check_first_weights("resnet18", ".bn2.weight", zero_gamma);
        check_first_weights("resnet50", ".bn3.weight", zero_gamma);
    }
}

/* A pure function of architecture and seed: the size of batch and images does not matter, the seed
 * does. */
static void test_first_weights_by_key(void **state)
{
    (void)state;
    static const struct {
        int batch, side;
        uint64_t seed;
    } of[] = {{1, 32, 7}, {32, 16, 7}, {1, 32, 8}};
    float *w[3];
    size_t bytes = 0;
    for (int i = 0; i < 3; i++) {
        struct model *a = described("resnet20", "cifar", of[i].batch, 10, of[i].side);
        bytes = (size_t)model_parameters(a) * sizeof *w[i];
        w[i] = xcalloc(bytes, 1);
        model_initialise(a, of[i].seed, false, w[i]);
        xfree(a);
    }
    assert_memory_equal(w[0], w[1], bytes);
    assert_true(memcmp(w[0], w[2], bytes));
    for (int i = 0; i < 3; i++)
        xfree(w[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters_and_flops),   cmocka_unit_test(test_tables),
        cmocka_unit_test(test_names_are_torchvisions), cmocka_unit_test(test_first_weights),
        cmocka_unit_test(test_first_weights_by_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
