/* The whole backend on a device, or on its emulation (test_device_emulated): streams,
 * segments, and units in a network.
 *
 * A unit's arithmetic has its own tests (test_kernels.c); here whole small networks are run as
 * training runs them, and must come out as the reference has them, as well as the type allows;
 * whatever comes in between; and the same bits each time. */
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

#include "base/alloc.h"
#include "tests/network_fixture.h"

enum { SEED = 3, PAGE = 4096 };

extern const struct backend backend_cudnn;
bool cuda_explain_files(const char *folder, char *text, size_t size); /* backend/cudnn/device.h */

/* tests/cuda/emulate/runtime.h; NULL on a device */
void emulate_gpus(int count, int old, int error, int driver) __attribute__((weak));

/* The third is for bits alone: a norm over two numbers makes anything of their last digits. */
enum { PLAIN, LARGE, SMALL };

static const struct fixture_options networks[] = {
    {.stem = "cifar",
     .model =
         {.name = "resnet20", .batch = 3, .classes = 10, .channels = 3, .height = 9, .width = 8},
     .smoothing = 0.1,
     .seed = SEED,
     .threads = 1},
    {.stem = "imagenet",
     .model =
         {.name = "resnet18", .batch = 4, .classes = 7, .channels = 3, .height = 33, .width = 40},
     .seed = SEED,
     .threads = 1},
    {.stem = "imagenet",
     .model =
         {.name = "resnet18", .batch = 2, .classes = 7, .channels = 3, .height = 8, .width = 8},
     .seed = SEED,
     .threads = 1},
};

enum { F32, BF16, TF32, ENGINES }; /* TF32 is float32 but for the plans */

static const struct engine engines[ENGINES] = {
    [F32] = {.backend = &backend_cudnn, .dtype = DTYPE_F32, .name = "cudnn f32"},
    [BF16] = {.backend = &backend_cudnn, .dtype = DTYPE_BF16, .name = "cudnn bf16"},
    [TF32] = {.backend = &backend_cudnn, .dtype = DTYPE_F32, .name = "cudnn tf32", .tf32 = true},
};

static void need_device(void)
{
    if (!backend_cudnn.has(DTYPE_F32)) {
        print_message("SKIPPED: no CUDA device\n");
        skip();
    }
}

/* |a - b| / |b| */
static double distance(const float *a, const float *b, int64_t count)
{
    double squares = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        squares += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        norm += (double)b[i] * (double)b[i];
    }
    return sqrt(squares / norm);
}

static bool gradient(struct network_fixture *r, struct loss *loss, network_hook *hook, void *self)
{
    memset(r->g, 0xff, (size_t)r->floats * sizeof(float));
    return network_gradient(r->network, (struct weights){r->w, r->weights_version}, r->images,
                            r->labels, r->g, loss, hook, self);
}

struct watch {
    struct network_fixture *fixture;
    const float *truth; /* bits that must have arrived */
    int step, calls, stop_at, visit_at;
    int64_t from;
    struct loss evaluation;
};

static bool watch(void *self, int step, int64_t from)
{
    struct watch *w = self;
    struct network_fixture *r = w->fixture;
    assert_true(step >= w->step && step < 2 * r->a.units && from <= w->from);
    if (memcmp(r->g + from, w->truth + from, (size_t)(w->from - from) * sizeof(float)) != 0)
        fail_msg("%s, step %d: of the floats from %lld on some have not arrived", r->name, step,
                 (long long)from);
    w->step = step;
    w->from = from;
    if (w->calls == w->visit_at) /* other weights */
        network_evaluate(r->network, (struct weights){w->truth, 0}, r->statistics, r->images,
                         r->labels, r->a.batch, &w->evaluation);
    return w->calls++ != w->stop_at;
}

static struct watch watch_of(struct network_fixture *r, const float *truth)
{
    return (struct watch){
        .fixture = r, .truth = truth, .stop_at = -1, .visit_at = -1, .from = r->floats};
}

/* The same bits in every run: as calls, recorded and replayed; with an abort or an evaluation
 * before or within. */
static void check_repeats(struct network_fixture *r)
{
    struct loss first, loss;
    assert_true(gradient(r, &first, NULL, NULL));
    float *truth = xcalloc((size_t)r->floats, sizeof *truth);
    memcpy(truth, r->g, (size_t)r->floats * sizeof *truth);
    struct loss evaluation = fixture_evaluate(r), other = {0};
    network_evaluate(r->network, (struct weights){truth, 0}, r->statistics, r->images, r->labels,
                     r->a.batch, &other);
    for (int round = 0; round < 8; round++) {
        struct watch w = watch_of(r, truth);
        if (round % 3 == 1) {
            w.stop_at = round;
            assert_false(gradient(r, &loss, watch, &w));
            w = watch_of(r, truth);
        }
        w.visit_at = round < 4 ? -1 : round - 3;
        assert_true(gradient(r, &loss, round == 2 ? NULL : watch, &w));
        assert_memory_equal(&loss, &first, sizeof loss);
        assert_memory_equal(r->g, truth, (size_t)r->floats * sizeof *truth);
        if (w.visit_at >= 0 && w.calls > w.visit_at)
            assert_memory_equal(&w.evaluation, &other, sizeof other);
        assert_true(round == 2 || (w.step == 2 * r->a.units - 1 && w.from == 0));
        loss = fixture_evaluate(r);
        assert_memory_equal(&loss, &evaluation, sizeof loss);
    }
    xfree(truth);
}

/* Against the reference: the loss, the gradient as a whole, the statistics, an evaluation. bf16
 * keeps 8 bits of each activation, TF32 reads 11 of them; both are seen to be as narrow as they
 * are. */
static void check_numbers(struct network_fixture *r)
{
    const struct engine reference = {
        .backend = backend_find("ref", DTYPE_F32), .dtype = DTYPE_F32, .name = "ref"};
    const bool wide = r->engine.dtype == DTYPE_F32 && !r->engine.tf32;
    struct network_fixture truth, *ref = &truth;
    fixture_open(ref, &reference, &r->options);
    struct loss is, should = fixture_gradient(ref);
    gradient(r, &is, NULL, NULL);
    double g = distance(r->g, ref->g, r->floats), loss = fabs(is.sum - should.sum) / should.sum;
    size_t count = (size_t)r->statistic_floats;
    double *sums = xcalloc(2 * count, sizeof *sums);
    float *statistics = xcalloc(2 * count, sizeof *statistics);
    network_statistics(r->network, (struct weights){r->w, r->weights_version}, r->images, sums);
    network_statistics(ref->network, (struct weights){ref->w, ref->weights_version}, ref->images,
                       sums + count);
    network_finish_statistics(r->network, sums, 1, statistics);
    network_finish_statistics(ref->network, sums + count, 1, statistics + count);
    double norm = distance(statistics, statistics + count, r->statistic_floats);
    memcpy(r->statistics, statistics + count, count * sizeof *statistics);
    memcpy(ref->statistics, statistics + count, count * sizeof *statistics);
    struct loss evaluation = fixture_evaluate(r), true_evaluation = fixture_evaluate(ref);
    double error = fabs(evaluation.sum - true_evaluation.sum) / true_evaluation.sum;
    print_message("%s: the loss is off by %.1e, the gradient by %.1e, statistics by %.1e, an "
                  "evaluation by %.1e\n",
                  r->name, loss, g, norm, error);
    assert_true(wide || g > 1e-4);
    assert_true(loss < (wide ? 1e-5 : 1e-2) && g < (wide ? 1e-4 : 5e-2) &&
                norm < (wide ? 1e-5 : 1e-2) && error < (wide ? 1e-5 : 1e-2));
    xfree(statistics);
    xfree(sums);
    fixture_close(ref);
}

static void for_engines(int count, const struct fixture_options *network,
                        void (*check)(struct network_fixture *r))
{
    need_device();
    for (int e = 0; e < count; e++) {
        struct network_fixture r;
        fixture_open(&r, &engines[e], network);
        check(&r);
        fixture_close(&r);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    for_engines(ENGINES, &networks[PLAIN], check_numbers);
    for_engines(TF32, &networks[LARGE], check_numbers);
}

static void test_repeats(void **state)
{
    (void)state;
    for_engines(TF32, &networks[PLAIN], check_repeats);
    for_engines(TF32, &networks[SMALL], check_repeats);
}

/* With TF32 allowed, other plans are taken, and remembered separately: neither setting finds the
 * other's in the file of choices. */
static void test_choices_are_stored_separately(void **state)
{
    (void)state;
    enum { TURNS = 4 };
    char cache[] = "/tmp/test_device.XXXXXX";
    float *g[TURNS];
    size_t bytes = 0;
    need_device();
    assert_int_equal(close(mkstemp(cache)), 0);
    for (int turn = 0; turn < TURNS; turn++) {
        struct fixture_options network = networks[PLAIN];
        struct network_fixture r;
        network.cache = cache;
        fixture_open(&r, &engines[turn % 2 ? TF32 : F32], &network);
        fixture_gradient(&r);
        bytes = (size_t)r.floats * sizeof(float);
        g[turn] = xcalloc(bytes, 1);
        memcpy(g[turn], r.g, bytes);
        fixture_close(&r);
    }
    assert_memory_equal(g[2], g[0], bytes);
    assert_memory_equal(g[3], g[1], bytes);
    assert_true(memcmp(g[0], g[1], bytes) != 0);
    for (int turn = 0; turn < TURNS; turn++)
        xfree(g[turn]);
    unlink(cache);
}

/* Uploads are there for what comes later, downloads bring what was there, and memory is zero at
 * first. */
static void test_copies(void **state)
{
    (void)state;
    enum { COUNT = 3 * PAGE };
    need_device();
    const struct backend *b = &backend_cudnn;
    struct device *d =
        b->open(&(struct device_options){.threads = 1, .dtype = DTYPE_F32, .quiet = true});
    char *here = xcalloc(4 * COUNT, 1), *page = here + (PAGE - (uintptr_t)here % PAGE) % PAGE,
         *back = page + COUNT;
    char *there = b->alloc(d, COUNT);
    for (int registered = 0; registered < 2; registered++) {
        if (registered)
            b->device->register_memory(d, page, 2 * COUNT);
        for (int i = 0; i < COUNT; i++)
            page[i] = (char)(i % 251 + registered);
        b->upload(d, there, page, COUNT - 5);
        b->finish(d);
        b->device->download(d, back, there, COUNT);
        b->finish(d);
        assert_memory_equal(back, page, COUNT - 5);
        for (int i = COUNT - 5; i < COUNT; i++)
            assert_int_equal(back[i], 0);
        if (registered)
            b->device->unregister_memory(d, page);
    }
    b->device->unregister_memory(d, page); /* never registered, or no longer: no harm */
    b->free(d, there);
    xfree(here);
    b->close(d);
}

/* Ranks of a host take its devices in turn; the program says what there is. */
static void test_devices(void **state)
{
    (void)state;
    char text[256];
    backend_cudnn.version(text, sizeof text);
    print_message("%s\n", text);
    assert_non_null(strstr(text, "CUDA "));
    need_device();
    for (int number = 0; number < 3; number++) {
        struct device *d = backend_cudnn.open(
            &(struct device_options){.threads = 1, .number = number, .quiet = true});
        backend_cudnn.close(d);
    }
}

/* One GPU that is too old hides no other; where none is left, the reason is said. */
static void test_which_gpus(void **state)
{
    (void)state;
    char why[400];
    if (!emulate_gpus)
        skip();
    emulate_gpus(3, 2, 0, 13000);
    assert_true(backend_cudnn.has(DTYPE_F32));
    for (int number = 0; number < 2; number++)
        backend_cudnn.close(backend_cudnn.open(
            &(struct device_options){.threads = 1, .number = number, .quiet = true}));
    static const struct {
        int count, old, error, driver;
        const char *visible, *why;
    } cases[] = {
        {2, 2, 0, 13000, NULL, "no CUDA device is new enough: emulated has compute capability"},
        {0, 0, 35, 0, NULL, "driver is missing"},
        {0, 0, 35, 11080, NULL, "driver is for CUDA 11.8"},
        {0, 0, 100, 13000, "-1", "CUDA_VISIBLE_DEVICES='-1' hides them"},
        {0, 0, 100, 13000, "", "CUDA_VISIBLE_DEVICES='' hides them"},
        {0, 0, 100, 13000, "0", "no CUDA device is found"},  /* which that does not hide */
        {0, 0, 100, 13000, NULL, "no CUDA device is found"}, /* its files, or the error */
        {0, 0, 0, 13000, NULL, "no CUDA device is found"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        emulate_gpus(cases[i].count, cases[i].old, cases[i].error, cases[i].driver);
        if (cases[i].visible)
            setenv("CUDA_VISIBLE_DEVICES", cases[i].visible, 1);
        else
            unsetenv("CUDA_VISIBLE_DEVICES");
        assert_false(backend_cudnn.has(DTYPE_F32));
        backend_cudnn.why_not(DTYPE_F32, why, sizeof why);
        if (!strstr(why, cases[i].why))
            fail_msg("'%s' does not say '%s'", why, cases[i].why);
        if (cases[i].visible && *cases[i].visible == '0' && strstr(why, "hides"))
            fail_msg("'%s', but a device that is named is not hidden", why);
    }
    emulate_gpus(1, 0, 0, 13000);
}

/* A driver shows no device where its files are missing, or may not be opened. */
static void test_the_drivers_files(void **state)
{
    (void)state;
    static const char *const names[] = {"nvidiactl", "nvidia0", "nvidia-uvm"};
    char folder[] = "/tmp/nbsgd-test-gpus-XXXXXX", path[100], why[400];
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        assert_true(cuda_explain_files(folder, why, sizeof why));
        assert_non_null(strstr(why, "there is no "));
        assert_non_null(strstr(why, path));
        assert_int_equal(symlink(path, path), 0); /* as root nothing is forbidden */
        assert_true(cuda_explain_files(folder, why, sizeof why));
        assert_non_null(strstr(why, "may not be opened (Too many levels"));
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink("/dev/null", path), 0);
    }
    assert_false(cuda_explain_files(folder, why, sizeof why));
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_gpus),
        cmocka_unit_test(test_the_drivers_files),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_choices_are_stored_separately),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
