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
#include "resnet/resnet.h"
#include "serialization/serialization.h"

enum { IMAGES_THERE = 2, CLASSES = 10, SIDE = 32, FLOATS = SIDE * SIDE * 3 };

static const char *const names[] = {"resnet18", "resnet50"};

static int python(const char *verb, const char *folder)
{
    char command[200];
    snprintf(command, sizeof command, "/usr/bin/python3 tests/reference/weights.py %s %s", verb,
             folder);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Each image's loss for each label is what torchvision's model, in double, makes of it. */
static void assert_same_losses(const struct model *a, const float *w, const float *statistics,
                               const char *path)
{
    static float images[IMAGES_THERE][FLOATS];
    static double truth[IMAGES_THERE][CLASSES];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(images, sizeof images, 1, f) + fread(truth, sizeof truth, 1, f), 2);
    fclose(f);
    const struct backend *b = backend_find("ref", DTYPE_F32);
    struct device *device =
        b->open(&(struct device_options){.threads = 1, .dtype = DTYPE_F32, .quiet = true});
    struct network *n = network_open(a, b, device, 0, false);
    for (int p = 0; p < IMAGES_THERE; p++)
        for (int32_t label = 0; label < CLASSES; label++) {
            struct loss loss = {.sum = 0};
            network_evaluate(n, (struct weights){w, 0}, statistics,
                             (struct images){.floats = images[p]}, &label, 1, &loss);
            if (!(fabs(loss.sum - truth[p][label]) <= 1e-4 * fmax(1, truth[p][label])))
                fail_msg("%s, image %d, label %d: loss %.9g, torchvision has %.9g", a->name, p,
                         label, loss.sum, truth[p][label]);
        }
    network_close(n);
    b->close(device);
}

static void there_and_back(const char *name, const char *folder)
{
    char path[200];
    struct model *a = xcalloc(1, sizeof *a);
    const struct model_request request = {.name = name,
                                          .batch = 1,
                                          .classes = CLASSES,
                                          .channels = 3,
                                          .height = SIDE,
                                          .width = SIDE,
                                          .own = &(struct resnet_options){.stem = "imagenet"}};
    model_resnet.build(a, &request);
    float *w = xcalloc((size_t)model_parameters(a), sizeof *w);
    float *statistics = xcalloc((size_t)model_statistics(a), sizeof *statistics);
    bool has = false;
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, name);
    model_load(path, a, w, statistics, &has);
    assert_true(has);
    snprintf(path, sizeof path, "%s/%s.truth", folder, name);
    assert_same_losses(a, w, statistics, path);
    snprintf(path, sizeof path, "%s/%s.saved.safetensors", folder, name);
    assert_true(model_save(path, a, w, statistics));
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
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        there_and_back(names[i], folder);
    assert_int_equal(python("check", folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_torchvision, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
