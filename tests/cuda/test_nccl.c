/* Sums by NCCL: which runs take it, what they call in which order, what they come to, and how they
 * end. The ranks are coroutines, CUDA and NCCL are stand-ins (test_nccl_emulated). On a device: the
 * real library, alone on one GPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cudnn/check.h"
#include "backend/cudnn/device.h"
#include "base/alloc.h"
#include "collective/nccl/library.h"
#include "tests/cuda/emulate/nccl.h"
#include "tests/death_test.h"
#include "tests/sum_case.h"

extern struct fake_nccl fake_nccl __attribute__((weak)); /* NULL on a device */

static int names;

static void own_name(int number, char *text, size_t size)
{
    (void)number;
    snprintf(text, size, "GPU %d", names++);
}

/* The emulated GPU, as if each rank had one. */
static const struct device_buffer_kind *own_gpu(struct device_buffer_kind *kind)
{
    *kind = cuda_device_buffer;
    kind->name = own_name;
    return kind;
}

static void need_stand_in(void)
{
    if (!&fake_nccl) {
        print_message(
            "SKIPPED: ranks that share a GPU have no NCCL; the emulated device buffer of this "
            "test has the stand-in\n");
        skip();
    }
    fake_nccl = (struct fake_nccl){0};
}

struct run {
    struct sum_case sum;
    int wrong;
};

static void body(struct net *net, void *argument)
{
    struct run *r = argument;
    int wrong = sum_case_run(net, &r->sum);
    r->wrong += net->rank == 0 ? wrong : 0;
}

static void judge(int ranks, const struct sum_case *sum, double jitter_s)
{
    struct run r = {.sum = *sum};
    r.sum.stops = -1;
    sim_run(
        &(struct world_options){
            .ranks = ranks, .seed = 1, .latency_s = 20e-6, .jitter_s = jitter_s, .bandwidth = 1e9},
        body, &r);
    if (r.wrong)
        fail_msg("%s, %d ranks, %lld floats: %d things wrong", sum->method, ranks,
                 (long long)sum->count, r.wrong);
}

/* Sums of all sizes, and the life of communicators: each that was begun was ended, so was each
 * operation. */
static void test_sums(void **state)
{
    static const int64_t counts[] = {1, 7, 4099, (1 << 22) + 5};
    struct device_buffer_kind kind;
    (void)state;
    need_stand_in();
    for (int workers = 2; workers < 6; workers++)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            const bool long_one = counts[i] > 1 << 22;
            if (long_one && workers > 2)
                continue;
            fake_nccl = (struct fake_nccl){0};
            judge(workers + 1,
                  &(struct sum_case){"nccl", .servers = 1, .count = counts[i],
                                     .rounds = long_one ? 2 : 7, .delay_s = 0.01,
                                     .device_buffer = own_gpu(&kind)},
                  1e-3);
            assert_int_equal(fake_nccl.wrong, 0);
            assert_int_equal(fake_nccl.begun, workers);
            assert_int_equal(fake_nccl.ended, workers);
            assert_int_equal(fake_nccl.pieces, workers * (long_one ? 4 : 7));
            /* scale 1 needs none; it comes every third time */
            assert_int_equal(fake_nccl.operations, workers * (long_one ? 1 : 5));
            assert_int_equal(fake_nccl.dropped, fake_nccl.operations);
        }
}

static void test_choice(void **state)
{
    struct device_buffer_kind kind;
    struct sum_case k = {"auto",       "nccl",      .servers = 2,
                         .count = 100, .rounds = 2, .device_buffer = own_gpu(&kind)};
    (void)state;
    need_stand_in();
    judge(4, &k, 0);
    k = (struct sum_case){"direct", .servers = 1, .count = 100, .rounds = 2,
                          .device_buffer = &kind};
    judge(4, &k, 0);
    k = (struct sum_case){"auto",
                          "direct",
                          .servers = 1,
                          .count = 100,
                          .rounds = 2,
                          .exact = true,
                          .device_buffer = &cuda_device_buffer};
    judge(4, &k, 0);
    k.device_buffer = NULL;
    judge(4, &k, 0);
    fake_nccl.missing = true;
    k.device_buffer = own_gpu(&kind);
    judge(4, &k, 0);
    fake_nccl.missing = false;
    judge(2, &k, 0); /* one worker */
    assert_int_equal(fake_nccl.begun, 2);
    assert_int_equal(fake_nccl.wrong, 0);
}

struct said {
    struct sum_case sum;
    struct fake_nccl orders;
};

static void ending(const void *argument)
{
    const struct said *s = argument;
    fake_nccl = s->orders;
    judge(4, &s->sum, 0);
}

static void test_choice_is_said(void **state)
{
    struct device_buffer_kind kind;
    struct said s = {.sum = {"nccl", "direct", .servers = 1, .count = 100, .rounds = 1,
                             .exact = true, .device_buffer = &cuda_device_buffer}};
    (void)state;
    need_stand_in();
    assert_dies(
        0, ending, &s,
        (const char *const[]){"--allreduce nccl: workers 0 and 1 share GPU 0000:00:00.0 of sim",
                              "direct is used", NULL});
    s.sum.device_buffer = NULL;
    assert_dies(0, ending, &s,
                (const char *const[]){
                    "--allreduce nccl: worker 0 computes on no GPU; direct is used", NULL});
    s.sum.device_buffer = own_gpu(&kind);
    s.orders.missing = true;
    assert_dies(0, ending, &s,
                (const char *const[]){
                    "--allreduce nccl: libnccl.so.2: no such file; direct is used", NULL});
}

/* What the library refuses, at once or later, ends the run with its words. */
static void test_failures(void **state)
{
    struct device_buffer_kind kind;
    struct said s = {
        .sum = {"nccl", .servers = 1, .count = 100, .rounds = 5, .device_buffer = own_gpu(&kind)},
        .orders.fail_at = 4};
    (void)state;
    need_stand_in();
    assert_dies(
        EXIT_WORLD, ending, &s,
        (const char *const[]){"ncclAllReduce: NCCL says internal error: the link is down", NULL});
    s.orders.late = true;
    assert_dies(EXIT_WORLD, ending, &s,
                (const char *const[]){"NCCL says remote error: the link is down", NULL});
}

/* The real library with the real device buffer, one rank: the sum is its own vector, scaled. */
static void test_library(void **state)
{
    enum { COUNT = 100000 };
    struct nccl_calls call;
    char why[200];
    ncclUniqueId id;
    ncclComm_t comm;
    ncclRedOp_t half;
    ncclResult_t is = ncclInProgress;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    float *vector, factor = 0.5f;
    (void)state;
    if (&fake_nccl || !cuda_has(DTYPE_F32)) {
        print_message("SKIPPED: no CUDA device\n");
        skip();
    }
    if (!nccl_load(&call, why, sizeof why))
        fail_msg("%s", why);
    struct device_buffer *t = cuda_device_buffer.open(0, COUNT);
    vector = xcalloc(COUNT, sizeof *vector);
    config.blocking = 0;
    assert_int_equal(call.ncclGetUniqueId(&id), ncclSuccess);
    call.ncclCommInitRankConfig(&comm, 1, id, 0, &config);
    while (is == ncclInProgress)
        call.ncclCommGetAsyncError(comm, &is);
    assert_int_equal(is, ncclSuccess);
    assert_int_equal(
        call.ncclRedOpCreatePreMulSum(&half, &factor, ncclFloat, ncclScalarHostImmediate, comm),
        ncclSuccess);
    for (int i = 0; i < COUNT; i++)
        vector[i] = (float)i;
    cuda_device_buffer.upload(t, vector, 0, COUNT);
    is = call.ncclAllReduce(cuda_device_buffer.data(t), cuda_device_buffer.data(t), COUNT,
                            ncclFloat, half, comm, cuda_device_buffer.stream(t));
    while (is == ncclInProgress)
        call.ncclCommGetAsyncError(comm, &is);
    assert_int_equal(is, ncclSuccess);
    cuda_device_buffer.download(t, vector, 0, COUNT);
    while (!cuda_device_buffer.is_done(t))
        ;
    for (int i = 0; i < COUNT; i++)
        assert_true(vector[i] == 0.5f * (float)i);
    call.ncclRedOpDestroy(half, comm);
    call.ncclCommFinalize(comm);
    for (is = ncclInProgress; is == ncclInProgress;)
        call.ncclCommGetAsyncError(comm, &is);
    assert_int_equal(call.ncclCommDestroy(comm), ncclSuccess);
    cuda_device_buffer.close(t);
    xfree(vector);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),           cmocka_unit_test(test_choice),
        cmocka_unit_test(test_choice_is_said), cmocka_unit_test(test_failures),
        cmocka_unit_test(test_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
