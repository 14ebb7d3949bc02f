/* The loops of max pools against plain ones, for both element types and every number of channels up
 * to two strips: values with NaNs of both signs, infinities, zeros of both signs and many equals;
 * the tensors end where memory ends, so nothing beyond them is read. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/onednn/kernels.h"
#include "backend/onednn/library.h"

#pragma weak kernels_f32 /* not in a build without oneDNN */
#pragma weak kernels_f32_narrow
#pragma weak kernels_for
#pragma weak library_has_bf16

/* `bytes` that end with a page behind which there is none. */
struct fenced {
    char *map, *at;
};

static struct fenced fenced_open(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + page - 1) / page * page;
    struct fenced f = {
        .map = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)};
    assert_true(f.map != MAP_FAILED);
    assert_int_equal(mprotect(f.map + room, page, PROT_NONE), 0);
    f.at = f.map + room - bytes;
    return f;
}

static void fenced_close(struct fenced *f, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    munmap(f->map, (bytes + page - 1) / page * page + page);
}

static float value_of(const struct fenced *f, size_t i, bool bf16)
{
    uint32_t bits = 0;
    float v;
    if (bf16) {
        uint16_t half;
        memcpy(&half, f->at + 2 * i, 2);
        bits = (uint32_t)half << 16;
    } else {
        memcpy(&bits, f->at + 4 * i, 4);
    }
    memcpy(&v, &bits, 4);
    return v;
}

static void set_value(struct fenced *f, size_t i, float v, bool bf16)
{
    uint32_t bits;
    memcpy(&bits, &v, 4);
    uint16_t half = (uint16_t)(bits >> 16);
    memcpy(f->at + i * (bf16 ? 2 : 4), bf16 ? (void *)&half : (void *)&bits, bf16 ? 2 : 4);
}

/* Few values, so that windows have equals. */
static float some_value(unsigned *seed)
{
    static const float of[] = {0.0F,  -0.0F,  1,        -1,        2.5F, -2.5F, 1e-30F,
                               3e38F, -3e38F, INFINITY, -INFINITY, NAN,  -NAN};
    *seed = *seed * 1664525 + 1013904223;
    unsigned draw = *seed >> 16;
    return of[draw % 8 ? draw / 8 % 9 : draw / 8 % 13];
}

struct pooled {
    struct pooling p;
    struct fenced x, y, argmax, dy, dx;
};

static void plain_max(const struct pooled *t, int n, int row, int column, int c)
{
    const struct pooling *p = &t->p;
    float best = 0;
    int tap = -1;
    for (int ky = 0; ky < p->kernel; ky++)
        for (int kx = 0; kx < p->kernel; kx++) {
            int h = row * p->stride - p->pad + ky, w = column * p->stride - p->pad + kx;
            if (h < 0 || w < 0 || h >= p->x.h || w >= p->x.w)
                continue;
            float v = value_of(&t->x, layout_at(&p->x, n, c, h * p->x.w + w), p->x.bf16);
            if (tap < 0 || v > best || isnan(v)) {
                best = v;
                tap = ky * p->kernel + kx;
            }
        }
    size_t at = layout_at(&p->y, n, c, row * p->y.w + column);
    float y = value_of(&t->y, at, p->y.bf16);
    assert_true(isnan(best) ? isnan(y) : y == best);
    assert_int_equal((uint8_t)t->argmax.at[at], tap);
}

/* What came to a pixel of x: the gradients of the windows that took it, whole numbers. */
static void plain_back(const struct pooled *t, int n, int h, int w, int c)
{
    const struct pooling *p = &t->p;
    float sum = 0;
    for (int row = 0; row < p->y.h; row++)
        for (int column = 0; column < p->y.w; column++) {
            int ky = h - row * p->stride + p->pad, kx = w - column * p->stride + p->pad;
            size_t at = layout_at(&p->y, n, c, row * p->y.w + column);
            if (ky >= 0 && kx >= 0 && ky < p->kernel && kx < p->kernel &&
                (uint8_t)t->argmax.at[at] == ky * p->kernel + kx)
                sum += value_of(&t->dy, at, p->y.bf16);
        }
    assert_true(value_of(&t->dx, layout_at(&p->x, n, c, h * p->x.w + w), p->x.bf16) == sum);
}

static void try_max(const struct kernels *k, bool bf16, int channels, int kernel, int stride,
                    unsigned *seed)
{
    int pad = (kernel - 1) / 2, side = 7, out = (side + 2 * pad - kernel) / stride + 1;
    struct pooled t = {.p = {.x = {2, channels, side, side, bf16},
                             .y = {2, channels, out, out, bf16},
                             .kernel = kernel,
                             .stride = stride,
                             .pad = pad}};
    size_t x = layout_elements(&t.p.x), y = layout_elements(&t.p.y);
    t.x = fenced_open(layout_bytes(&t.p.x));
    t.dx = fenced_open(layout_bytes(&t.p.x));
    t.y = fenced_open(layout_bytes(&t.p.y));
    t.dy = fenced_open(layout_bytes(&t.p.y));
    t.argmax = fenced_open(y);
    for (size_t i = 0; i < x; i++)
        set_value(&t.x, i, some_value(seed), bf16);
    for (size_t i = 0; i < y; i++)
        set_value(&t.dy, i, (float)(i % 7), bf16);
    t.p.argmax = (uint8_t *)t.argmax.at;
    t.p.from = t.x.at;
    t.p.to = t.y.at;
    for (int n = 0; n < 2; n++)
        k->max(&t.p, n);
    t.p.from = t.dy.at;
    t.p.to = t.dx.at;
    for (int n = 0; n < 2; n++)
        k->max_back(&t.p, n);
    for (int n = 0; n < 2; n++)
        for (int c = 0; c < channels; c++) {
            for (int i = 0; i < out * out; i++)
                plain_max(&t, n, i / out, i % out, c);
            for (int i = 0; i < side * side; i++)
                plain_back(&t, n, i / side, i % side, c);
        }
    fenced_close(&t.x, layout_bytes(&t.p.x));
    fenced_close(&t.dx, layout_bytes(&t.p.x));
    fenced_close(&t.y, layout_bytes(&t.p.y));
    fenced_close(&t.dy, layout_bytes(&t.p.y));
    fenced_close(&t.argmax, y);
}

static void all_channels(const struct kernels *k, bool bf16)
{
    unsigned seed = 1;
    for (int channels = 1; channels <= 33; channels++) {
        try_max(k, bf16, channels, 2, 2, &seed);
        try_max(k, bf16, channels, 3, 2, &seed);
        try_max(k, bf16, channels, 3, 1, &seed);
    }
}

static void test_f32(void **state)
{
    (void)state;
    if (!kernels_for)
        skip();
    all_channels(&kernels_f32, false);
    all_channels(&kernels_f32_narrow, false);
}

static void test_bf16(void **state)
{
    (void)state;
    if (!kernels_for || !library_has_bf16())
        skip();
    all_channels(kernels_for(true), true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_f32), cmocka_unit_test(test_bf16)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
