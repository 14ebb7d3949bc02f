/* Has cuDNN a plan for every convolution of every ResNet on a GPU that is not here, and are those
 * that we would take fit?
 *
 * The GPU is an H200 in words (h200.json). Where a GPU is at hand, every plan proposed for some odd
 * shapes is run as well, and its result compared with the reference's: rounding to bf16 leaves a
 * distance of about 1e-3 relative to the tensor's norm, float32 sums about 1e-6. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "backend/cudnn/check.h"
#include "backend/cudnn/convolve.h"
#include "backend/cudnn/kernels.h"
#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "resnet/resnet.h"
#include "tests/death_test.h"

static const char *const direction_name[DIRECTIONS] = {"forward", "backward data",
                                                       "backward weights"};

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

static struct unit_shape conv_shape(int batch, int in_c, int side, int out_c, int kernel,
                                    int stride)
{
    int pad = kernel / 2, out = (side + 2 * pad - kernel) / stride + 1;
    return (struct unit_shape){.kind = UNIT_CONV,
                               .batch = batch,
                               .in_c = in_c,
                               .in_h = side,
                               .in_w = side,
                               .out_c = out_c,
                               .out_h = out,
                               .out_w = out,
                               .kernel = kernel,
                               .stride = stride,
                               .pad = pad};
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

/* One convolution on a device and its reference: the three tensors, as random numbers that both
 * types can hold. */
struct trial {
    struct unit_shape shape;
    enum backend_dtype dtype;
    size_t count[OPERANDS];
    float *host[OPERANDS],
        *expected[OPERANDS]; /* expected[o]: what the direction that writes operand o is to find */
    void *device[OPERANDS], *written, *workspace;
};

static const enum operand written_by[DIRECTIONS] = {
    [FORWARD] = OPERAND_Y, [BACKWARD_DATA] = OPERAND_X, [BACKWARD_WEIGHTS] = OPERAND_W};

static uint16_t to_bf16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float from_bf16(uint16_t h)
{
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static size_t element(enum backend_dtype dtype)
{
    return dtype == DTYPE_BF16 ? sizeof(uint16_t) : sizeof(float);
}

/* To the device, in its type. */
static void put(const struct trial *t, enum operand o)
{
    uint16_t *narrow = xcalloc(t->count[o], sizeof *narrow);
    for (size_t i = 0; i < t->count[o]; i++)
        narrow[i] = to_bf16(t->host[o][i]);
    const void *from = t->dtype == DTYPE_BF16 ? (const void *)narrow : t->host[o];
    CUDA(cudaMemcpy(t->device[o], from, t->count[o] * element(t->dtype), cudaMemcpyHostToDevice));
    xfree(narrow);
}

/* Distance between what was written and what is expected of operand o, relative to the latter's
 * norm. */
static double distance(const struct trial *t, enum operand o)
{
    void *block = xcalloc(t->count[o], sizeof(float));
    CUDA(cudaMemcpy(block, t->written, t->count[o] * element(t->dtype), cudaMemcpyDeviceToHost));
    double wrong = 0, norm = 0;
    for (size_t i = 0; i < t->count[o]; i++) {
        double expected = t->expected[o][i];
        double found =
            t->dtype == DTYPE_BF16 ? from_bf16(((uint16_t *)block)[i]) : ((float *)block)[i];
        wrong += (found - expected) * (found - expected);
        norm += expected * expected;
    }
    xfree(block);
    return sqrt(wrong / norm);
}

static void expect(struct trial *t)
{
    const struct backend *ref = backend_find("ref", DTYPE_F32);
    struct device *device =
        ref->open(&(struct device_options){.threads = 1, .dtype = DTYPE_F32, .quiet = true});
    struct unit_sizes sizes;
    struct unit *u = ref->unit_open(device, &t->shape, NULL, NULL, &sizes);
    struct unit_io io = {
        .w = t->host[OPERAND_W], .x = t->host[OPERAND_X], .y = t->expected[OPERAND_Y]};
    ref->forward(u, &io, UNIT_TRAIN);
    io.dy = t->host[OPERAND_Y];
    io.dx = t->expected[OPERAND_X];
    io.g = t->expected[OPERAND_W];
    ref->backward(u, &io);
    ref->unit_close(u);
    ref->close(device);
}

static void trial_open(struct trial *t, const struct unit_shape *s, enum backend_dtype dtype)
{
    *t = (struct trial){.shape = *s, .dtype = dtype};
    t->count[OPERAND_X] = (size_t)s->batch * (size_t)(s->in_h * s->in_w * s->in_c);
    t->count[OPERAND_W] = (size_t)s->out_c * (size_t)(s->kernel * s->kernel * s->in_c);
    t->count[OPERAND_Y] = (size_t)s->batch * (size_t)(s->out_h * s->out_w * s->out_c);
    size_t most = 0;
    for (enum operand o = 0; o < OPERANDS; o++) {
        t->host[o] = xcalloc(t->count[o], sizeof(float));
        t->expected[o] = xcalloc(t->count[o], sizeof(float));
        struct random r = random_at(RANDOM_TEST, o, 0, 0, 0);
        for (size_t i = 0; i < t->count[o]; i++)
            t->host[o][i] = from_bf16(to_bf16((float)random_normal(&r)));
        CUDA(cudaMalloc(&t->device[o], t->count[o] * element(dtype)));
        put(t, o);
        most = t->count[o] > most ? t->count[o] : most;
    }
    CUDA(cudaMalloc(&t->written, most * sizeof(float)));
    CUDA(cudaMalloc(&t->workspace, CONVOLVE_WORKSPACE));
    expect(t);
}

static void trial_close(struct trial *t)
{
    for (enum operand o = 0; o < OPERANDS; o++) {
        xfree(t->host[o]);
        xfree(t->expected[o]);
        CUDA(cudaFree(t->device[o]));
    }
    CUDA(cudaFree(t->written));
    CUDA(cudaFree(t->workspace));
}

/* The operands of a run, the written one full of NaN. */
static void lay_out(const struct trial *t, enum direction d, void *operand[OPERANDS])
{
    memcpy(operand, t->device, sizeof t->device);
    operand[written_by[d]] = t->written;
    CUDA(cudaMemset(t->written, 0xff, t->count[written_by[d]] * element(t->dtype)));
    CUDA(cudaDeviceSynchronize());
}

static void compare(const struct trial *t, enum direction d, const struct plan *plan)
{
    CUDA(cudaDeviceSynchronize());
    double off = distance(t, written_by[d]), allowed = plan->narrows            ? 1e-2
                                                       : t->dtype == DTYPE_BF16 ? 3e-3
                                                                                : 2e-5;
    const struct unit_shape *s = &t->shape;
    if (!(off <= allowed))
        fail_msg("%s of %d x %dx%dx%d to %d channels, kernel %d/%d, %s, plan \"%s\": off by %.2g, "
                 "allowed are %.2g",
                 direction_name[d], s->batch, s->in_h, s->in_w, s->in_c, s->out_c, s->kernel,
                 s->stride, t->dtype == DTYPE_BF16 ? "bf16" : "f32", plan->name, off, allowed);
}

/* All plans for one shape, and then the one that is the fastest. */
static int run_all(const struct unit_shape *s, enum backend_dtype dtype, bool tf32,
                   cudaStream_t stream)
{
    struct trial t;
    struct planner *planner = planner_open();
    struct convolver *v = convolver_open(NULL, tf32);
    void *operand[OPERANDS];
    int ran = 0;
    trial_open(&t, s, dtype);
    planner_stream(planner, stream);
    convolver_stream(v, stream);
    struct convolve *c = convolve_open(v, s, dtype);
    for (enum direction d = 0; d < DIRECTIONS; d++) {
        struct plans *all = plans_open(planner, d, s, dtype);
        for (int i = 0; i < all->count; i++) {
            if (all->plan[i].compiles || !plans_build(all, i) ||
                all->plan[i].workspace > CONVOLVE_WORKSPACE)
                continue;
            lay_out(&t, d, operand);
            if (!plans_run(all, i, operand, t.workspace))
                continue;
            compare(&t, d, &all->plan[i]);
            ran++;
        }
        plans_close(all);
        lay_out(&t, d, operand);
        convolve_time(c, d, operand, t.workspace, CONVOLVE_WORKSPACE);
        lay_out(&t, d, operand);
        convolve_run(c, d, operand, t.workspace);
        compare(&t, d, convolve_plan(c, d));
    }
    convolve_close(c);
    convolver_close(v);
    planner_close(planner);
    trial_close(&t);
    return ran;
}

static void test_plans_compute_what_the_reference_does(void **state)
{
    (void)state;
    int devices = 0, ran = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || !devices) {
        printf("SKIPPED: no CUDA device\n");
        skip();
    }
    const struct unit_shape shapes[] = {
        conv_shape(4, 16, 9, 24, 3, 1), conv_shape(3, 8, 14, 40, 3, 2),
        conv_shape(5, 64, 8, 16, 1, 1), conv_shape(3, 32, 10, 64, 1, 2),
        conv_shape(2, 8, 32, 64, 7, 2), conv_shape(32, 64, 1, 16, 1, 1),
        conv_shape(6, 16, 1, 16, 3, 1),
    };
    cudaStream_t stream;
    CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (enum backend_dtype dtype = DTYPE_F32; dtype <= DTYPE_BF16; dtype++)
            for (int tf32 = 0; tf32 < (dtype == DTYPE_F32 ? 2 : 1); tf32++)
                ran += run_all(&shapes[i], dtype, tf32, stream);
    CUDA(cudaStreamDestroy(stream));
    print_message("%d plans ran\n", ran);
    assert_true(ran > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_impossible_shape_is_named), /* first: it forks, which CUDA doesn't
                                                                like once it is awake */
        cmocka_unit_test(test_every_convolution_has_plans),
        cmocka_unit_test(test_equal_shapes_share_their_plans),
        cmocka_unit_test(test_plans_are_chosen_by_name),
        cmocka_unit_test(test_plans_compute_what_the_reference_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
