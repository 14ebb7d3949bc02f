/* Do cuDNN's plans compute what the reference does? Every plan proposed for some odd shapes is run
 * on the GPU at hand, and its result compared with the reference's: rounding to bf16 leaves a
 * distance of about 1e-3 relative to the tensor's norm, float32 sums about 1e-6. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cudnn/check.h"
#include "backend/cudnn/convolve.h"
#include "base/alloc.h"
#include "base/random.h"
#include "tests/cuda/convolution.h"

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
        cmocka_unit_test(test_plans_compute_what_the_reference_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
