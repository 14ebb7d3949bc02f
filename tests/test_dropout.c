/* Are dropout's masks what backend/dropout.h says? As the loops of the reference draw them, in
 * double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"

#define real double
#include "backend/ref/kernels.h"

/* Images of ones and what becomes of them. */
struct trial {
    struct unit_shape shape;
    struct ref_call call;
    double *x;
    uint64_t key;
};

static void open_trial(struct trial *t, int batch, int channels, int height, int width)
{
    *t = (struct trial){.shape = {.kind = UNIT_DROPOUT,
                                  .batch = batch,
                                  .in_c = channels,
                                  .in_h = height,
                                  .in_w = width,
                                  .out_c = channels,
                                  .out_h = height,
                                  .out_w = width}};
    size_t count = x_count(&t->shape);
    t->x = xcalloc(3 * count, sizeof *t->x);
    for (size_t i = 0; i < count; i++)
        t->x[i] = 1;
    t->call = (struct ref_call){.x = t->x,
                                .y = t->x + count,
                                .dy = t->x,
                                .dx = t->x + 2 * count,
                                .key = &t->key,
                                .threads = 1};
    assert_int_equal(ref_saved(&t->shape) + ref_scratch(&t->shape), 0);
}

static void close_trial(struct trial *t)
{
    xfree(t->x);
}

/* Inference copies; training drops about the asked part, scales what it keeps, and goes by key,
 * unit and sample; without a key it drops nothing. */
static void test_elements(void **state)
{
    (void)state;
    enum { BATCH = 4, FLOATS = 20 * 20 * 16 };
    struct trial t;
    static double kept[3][BATCH * FLOATS];
    open_trial(&t, BATCH, 16, 20, 20);
    t.shape.drop = 0.25f;
    ref_forward(&t.shape, &t.call, UNIT_INFER);
    for (int i = 0; i < BATCH * FLOATS; i++)
        assert_true(t.call.y[i] == 1);
    for (int k = 0; k < 3; k++) {
        int dropped[BATCH] = {0};
        t.key = k == 1;
        t.shape.number = k == 2 ? 4 : 3;
        ref_forward(&t.shape, &t.call, UNIT_TRAIN);
        ref_backward(&t.shape, &t.call); /* of ones, by the same mask */
        memcpy(kept[k], t.call.y, sizeof kept[k]);
        assert_memory_equal(kept[k], t.call.dx, sizeof kept[k]);
        for (int i = 0; i < BATCH * FLOATS; i++) {
            dropped[i / FLOATS] += kept[k][i] == 0;
            assert_true(kept[k][i] == 0 || fabs(kept[k][i] - 4.0 / 3) < 1e-6);
        }
        for (int b = 0; b < BATCH; b++) /* five deviations */
            assert_true(fabs(dropped[b] - 0.25 * FLOATS) < 5 * sqrt(0.25 * 0.75 * FLOATS));
    }
    int same[3] = {0}; /* other key, other unit, other sample: 5/8 agree by chance */
    for (int i = 0; i < FLOATS; i++) {
        same[0] += kept[0][i] == kept[1][i];
        same[1] += kept[0][i] == kept[2][i];
        same[2] += kept[0][i] == kept[0][i + FLOATS];
    }
    for (int k = 0; k < 3; k++)
        assert_true(fabs(same[k] - 0.625 * FLOATS) < 5 * sqrt(0.625 * 0.375 * FLOATS));
    t.call.key = NULL;
    ref_forward(&t.shape, &t.call, UNIT_TRAIN);
    for (int i = 0; i < BATCH * FLOATS; i++)
        assert_true(t.call.y[i] == 1);
    close_trial(&t);
}

/* A channel is dropped as a whole, and scaled as a whole; channels differ. */
static void test_channels(void **state)
{
    (void)state;
    enum { BATCH = 3, CHANNELS = 40, PIXELS = 6 };
    struct trial t;
    int dropped = 0;
    open_trial(&t, BATCH, CHANNELS, 2, 3);
    t.shape.drop = 0.5f, t.shape.by_channel = true;
    ref_forward(&t.shape, &t.call, UNIT_TRAIN);
    for (int b = 0; b < BATCH; b++)
        for (int c = 0; c < CHANNELS; c++) {
            const double *y = t.call.y;
            int at = b * PIXELS * CHANNELS + c;
            assert_true(y[at] == 0 || y[at] == 2);
            for (int p = 1; p < PIXELS; p++)
                assert_true(y[at + p * CHANNELS] == y[at]);
            dropped += y[at] == 0;
        }
    assert_in_range(dropped, 33, 87); /* five deviations around 60 */
    close_trial(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_channels),
    };
    return cmocka_run_group_tests_name("dropout", tests, NULL, NULL);
}
