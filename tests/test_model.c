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
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/model.h"
#include "base/alloc.h"
#include "problem/problem.h"
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

static struct model *described(const char *name, struct resnet_options own, int batch, int classes,
                               int side)
{
    struct model *a = xcalloc(1, sizeof *a);
    const struct model_request request = {.name = name,
                                          .batch = batch,
                                          .classes = classes,
                                          .channels = 3,
                                          .height = side,
                                          .width = side,
                                          .own = &own};
    model_resnet.build(a, &request);
    return a;
}

static void test_parameters_and_flops(void **state)
{
    (void)state;
    for (int i = 0; i < KNOWN; i++) {
        struct model *a = described(known[i].name, (struct resnet_options){.stem = known[i].stem},
                                    2, known[i].classes, known[i].side);
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
        struct model *a = described(known[i].name, (struct resnet_options){.stem = known[i].stem},
                                    1, known[i].classes, known[i].side);
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
            struct model *a = xcalloc(1, sizeof *a);
            const struct model_kind *kind = model_find(network);
            const struct resnet_options large = {.stem = "imagenet"};
            kind->build(a, &(struct model_request){.name = network,
                                                   .batch = 1,
                                                   .classes = 1000,
                                                   .channels = 3,
                                                   .height = 224,
                                                   .width = 224,
                                                   .own = kind == &model_resnet ? &large : NULL});
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
    assert_true(next[0] == counts[0] && next[1] == counts[1] && networks == 4);
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
    struct model *a = described(
        name, (struct resnet_options){.stem = "cifar", .zero_gamma = zero_gamma}, 1, 1000, 32);
    int count, zeros = 0;
    struct tensor *t = model_tensors(a, &count);
    float *w = xcalloc((size_t)model_parameters(a), sizeof *w);
    model_initialise(a, 7, w);
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

/* A pure function of model and seed: the size of batch and images does not matter, the seed
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
        struct model *a = described("resnet20", (struct resnet_options){.stem = "cifar"},
                                    of[i].batch, 10, of[i].side);
        bytes = (size_t)model_parameters(a) * sizeof *w[i];
        w[i] = xcalloc(bytes, 1);
        model_initialise(a, of[i].seed, w[i]);
        xfree(a);
    }
    assert_memory_equal(w[0], w[1], bytes);
    assert_true(memcmp(w[0], w[2], bytes));
    for (int i = 0; i < 3; i++)
        xfree(w[i]);
}

static struct model *lenet5(double dropout, int channels, int side)
{
    struct model *a = xcalloc(1, sizeof *a);
    const struct lenet5_options own = {.dropout = dropout};
    model_lenet5.build(a, &(struct model_request){.name = "lenet5",
                                                  .batch = 2,
                                                  .classes = 10,
                                                  .channels = channels,
                                                  .height = side,
                                                  .width = side,
                                                  .own = &own});
    return a;
}

/* 61,706: 6 (25 + 1) + 16 (6 25 + 1) + 120 (400 + 1) + 84 121 + 10 85, as everyone counts them. On
 * 32 x 32 x 3 the first filters have three channels. Dropout has no parameters. */
static void test_lenet5(void **state)
{
    (void)state;
    static const char *const names[] = {"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias",
                                        "fc1.weight",   "fc1.bias",   "fc2.weight",   "fc2.bias",
                                        "fc3.weight",   "fc3.bias"};
    struct model *small = lenet5(0, 1, 28), *color = lenet5(0, 3, 32),
                 *dropped = lenet5(0.5, 3, 32);
    int count;
    assert_int_equal(model_parameters(small), 61706);
    assert_int_equal(model_parameters(color), 61706 + 2 * 150);
    assert_int_equal(model_parameters(dropped), 61706 + 2 * 150);
    assert_int_equal(small->units, 7);
    assert_int_equal(dropped->units, 10);
    assert_true(model_flops(small) == 2.0 * (784 * 150 + 100 * 2400 + 48000 + 10080 + 840));
    struct tensor *t = model_tensors(color, &count);
    float *w = xcalloc((size_t)model_parameters(color), sizeof *w);
    model_initialise(color, 7, w);
    assert_int_equal(count, 10);
    for (int k = 0; k < count; k++) {
        assert_string_equal(t[k].name, names[k]);
        assert_int_equal(t[k].decays, k % 2 == 0);
        assert_int_equal(t[k].pixels, k == 4 ? 25 : k % 2 || k < 4 ? 0 : 1);
        const float *v = w + t[k].offset;
        int in = t[k - k % 2].shape[1];
        if (k < 4 && k % 2)
            assert_true(all_are(v, t[k].count, 0));
        else if (k >= 4)
            assert_drawn(t[k].name, v, t[k].count, 1 / sqrt(3.0 * in), 1 / sqrt(in));
    }
    xfree(w);
    xfree(t);
    xfree(small);
    xfree(color);
    xfree(dropped);
}

/* Where the tensor's floats begin in a safetensors file. */
static long begin_in_file(FILE *f, const char *name)
{
    static char header[10000];
    char entry[100];
    uint64_t length = 0;
    assert_int_equal(fread(&length, sizeof length, 1, f), 1);
    assert_in_range(length, 2, sizeof header - 1);
    assert_int_equal(fread(header, 1, length, f), length);
    header[length] = 0;
    snprintf(entry, sizeof entry, "\"%s\"", name);
    const char *at = strstr(header, entry);
    assert_non_null(at);
    at = strstr(at, "\"data_offsets\":[");
    assert_non_null(at);
    return (long)(sizeof length + length) + strtol(at + strlen("\"data_offsets\":["), NULL, 10);
}

/* PyTorch flattens [channel][pixel], here an image lies as [pixel][channel]: files have PyTorch's
 * order, and come back as they were. */
static void test_flattened_in_files(void **state)
{
    (void)state;
    char path[] = "/tmp/test_model.XXXXXX";
    int count, channels = 16, pixels = 25, file = mkstemp(path);
    struct model *a = lenet5(0, 3, 32);
    int64_t floats = model_parameters(a);
    struct tensor *t = model_tensors(a, &count);
    float *w = xcalloc((size_t)floats, sizeof *w), *again = xcalloc((size_t)floats, sizeof *w), is;
    for (int64_t i = 0; i < floats; i++)
        w[i] = (float)i;
    assert_true(file >= 0 && model_save(&(struct weights_target){.path = path}, a, w, NULL));
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    long begin = begin_in_file(f, "fc1.weight");
    for (int o = 0; o < 120; o += 17)
        for (int c = 0; c < channels; c++)
            for (int p = 0; p < pixels; p++) {
                long at = ((long)o * channels + c) * pixels + p;
                assert_int_equal(fseek(f, begin + at * (long)sizeof is, SEEK_SET), 0);
                assert_int_equal(fread(&is, sizeof is, 1, f), 1);
                assert_true(is == w[t[4].offset + ((long)o * pixels + p) * channels + c]);
            }
    fclose(f);
    model_load(path, a, again, NULL, NULL);
    assert_memory_equal(w, again, (size_t)floats * sizeof *w);
    close(file);
    unlink(path);
    xfree(again);
    xfree(w);
    xfree(t);
    xfree(a);
}

/* Each member answers to its names, the list knows them all, and none is taken for another. */
static void test_family(void **state)
{
    (void)state;
    char names[300];
    model_names(names, sizeof names);
    for (int i = 0; i < KNOWN; i++)
        assert_ptr_equal(model_find(known[i].name), &model_resnet);
    assert_ptr_equal(model_find("lenet5"), &model_lenet5);
    assert_non_null(strstr(names, "|resnet110|vgg11|"));
    assert_ptr_equal(model_find("vgg16"), &model_vgg);
    assert_ptr_equal(model_find("vgg16_bn"), &model_vgg);
    assert_ptr_equal(model_find("optml_cifar"), &model_optml);
    for (int i = 0; models[i]; i++)
        assert_true(models[i]->summary && models[i]->paper && models[i]->build);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters_and_flops),   cmocka_unit_test(test_tables),
        cmocka_unit_test(test_names_are_torchvisions), cmocka_unit_test(test_first_weights),
        cmocka_unit_test(test_first_weights_by_key),   cmocka_unit_test(test_lenet5),
        cmocka_unit_test(test_flattened_in_files),     cmocka_unit_test(test_family),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
