/* Weight files between us and torchvision: it writes; we read, compute the same, and write; it
 * reads (reference/weights.py). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "base/alloc.h"
#include "network/network.h"
#include "problem/problem.h"
#include "resnet/resnet.h"
#include "serialization/serialization.h"

enum { IMAGES_THERE = 2, CLASSES = 10, SMALL = 64 };

/* As in reference/weights.py. */
static const struct {
    const char *name, *network;
    int side;
} cases[] = {{"resnet18", "resnet18", 32},    {"resnet50", "resnet50", 32},
             {"resnet18-28", "resnet18", 28}, {"resnet50-224", "resnet50", 224},
             {"vgg11", "vgg11", 32},          {"vgg16_bn", "vgg16_bn", 40}};

/* $PYTHON, where it is set. */
static int python(const char *verb, const char *folder)
{
    char command[200];
    snprintf(command, sizeof command,
             "\"${PYTHON:-/usr/bin/python3}\" tests/reference/weights.py %s %s", verb, folder);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Plain loops for small images; of large ones the first labels alone, by OpenBLAS where that is
 * there. */
static const struct backend *backend_for(int side)
{
    for (int i = 0; backends[i] && side > SMALL; i++)
        if (!strcmp(backends[i]->name, "openblas") && backends[i]->has(DTYPE_F32))
            return backends[i];
    return backend_find("ref", DTYPE_F32);
}

/* Each image's loss for each label is what torchvision's model, in double, makes of it. */
static void assert_same_losses(const struct model *a, const float *w, const float *statistics,
                               const char *path)
{
    size_t floats = (size_t)a->height * (size_t)a->width * 3;
    float *images = xcalloc(IMAGES_THERE * floats, sizeof *images);
    double truth[IMAGES_THERE][CLASSES];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(images, floats * sizeof *images, IMAGES_THERE, f), IMAGES_THERE);
    assert_int_equal(fread(truth, sizeof truth, 1, f), 1);
    fclose(f);
    const struct backend *b = backend_for(a->height);
    struct device *device =
        b->open(&(struct device_options){.threads = 1, .dtype = DTYPE_F32, .quiet = true});
    struct network *n = network_open(a, b, device, 0, false, (struct network_listener){NULL, NULL});
    for (int p = 0; p < IMAGES_THERE; p++)
        for (int32_t label = 0; label < (a->height > SMALL ? 3 : CLASSES); label++) {
            struct loss loss = {.sum = 0};
            network_evaluate(n, (struct weights){w, 0}, statistics,
                             (struct images){.floats = images + (size_t)p * floats}, &label, 1,
                             &loss);
            if (!(fabs(loss.sum - truth[p][label]) <= 1e-4 * fmax(1, truth[p][label])))
                fail_msg("%s of %d pixels, image %d, label %d: loss %.9g, torchvision has %.9g",
                         a->name, a->height, p, label, loss.sum, truth[p][label]);
        }
    network_close(n);
    b->close(device);
    xfree(images);
}

static void there_and_back(const char *name, const char *network, int side, const char *folder)
{
    char path[200];
    struct model *a = xcalloc(1, sizeof *a);
    const struct model_kind *kind = model_find(network);
    const struct resnet_options resnet = {.stem = "imagenet"};
    const struct vgg_options vgg = {.hidden = "64,64", .dropout = 0.5};
    const void *own = kind == &model_resnet ? (const void *)&resnet : &vgg;
    kind->build(a, &(struct model_request){.name = network,
                                           .batch = 1,
                                           .classes = CLASSES,
                                           .channels = 3,
                                           .height = side,
                                           .width = side,
                                           .own = own});
    float *w = xcalloc((size_t)model_parameters(a), sizeof *w);
    float *statistics = xcalloc((size_t)model_statistics(a) + 1, sizeof *statistics);
    bool has = false;
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, name);
    model_load(path, a, w, statistics, &has);
    assert_true(has || !model_statistics(a));
    snprintf(path, sizeof path, "%s/%s.truth", folder, name);
    assert_same_losses(a, w, statistics, path);
    snprintf(path, sizeof path, "%s/%s.saved.safetensors", folder, name);
    assert_true(model_save(&(struct weights_target){.path = path}, a, w, statistics));
    xfree(w);
    xfree(statistics);
    xfree(a);
}

static int set_up(void **state)
{
    const char *where = getenv("TMPDIR");
    char *folder = malloc(64);
    snprintf(folder, 64, "%.40s/nbsgd-XXXXXX", where && *where ? where : "/tmp");
    *state = folder;
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", (const char *)*state);
    free(*state);
    return system(command);
}

static void test_torchvision(void **state)
{
    const char *folder = *state;
    int wrote = python("write", folder);
    if (wrote == 77 || wrote == 127) {
        printf("SKIPPED: weight files against torchvision: no python3-torchvision here\n");
        skip();
    }
    assert_int_equal(wrote, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        there_and_back(cases[i].name, cases[i].network, cases[i].side, folder);
    assert_int_equal(python("check", folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_torchvision, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
