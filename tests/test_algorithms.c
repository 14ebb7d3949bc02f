/* Does every algorithm of convolution that the fast CPU backend knows compute it, in every
 * direction?
 *
 * The backend verifies an algorithm on some elements and silently takes another where it is wrong.
 * So a broken kernel would hurt nobody but the clock: here each is asked directly, on odd shapes,
 * by every set of instructions that this machine has, and every element is compared with plain
 * loops. Numbers are small multiples of 1/16, so float32 sums are exact in any order, and equality
 * is asked for. */
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sanitizer/asan_interface.h>

#include "backend/onednn/algorithm.h"
#include "base/alloc.h"
#include "base/random.h"
#include "tests/amx.h"
#include "tests/avx512.h"

/* A build without oneDNN has none of them. */
#pragma weak algorithm_open
#pragma weak algorithm_name
#pragma weak algorithm_close
#pragma weak algorithm_scratch
#pragma weak algorithm_run
#pragma weak algorithm_is_reference
#pragma weak library_open
#pragma weak library_close
#pragma weak library_has_bf16
#pragma weak tiles_at
#pragma weak tile_pack_f32
#pragma weak emulated_avx512
#pragma weak emulated_avx512_bf16
#pragma weak emulated_amx_bf16

enum { GUARD = 256, MOST_THREADS = 3 };

/* Images, their channels, rows and columns, channels of the result; then the window. */
struct form {
    int n, in, h, w, out, kernel, stride, pad;
};

static const struct form forms[] = {
    {1, 16, 1, 1, 16, 1, 1, 0},     {33, 128, 1, 1, 144, 1, 1, 0}, {6, 16, 1, 1, 32, 3, 1, 1},
    {13, 80, 2, 2, 48, 3, 1, 1},    {3, 16, 3, 33, 32, 3, 1, 1},   {5, 48, 7, 9, 80, 3, 1, 1},
    {2, 16, 41, 8, 16, 3, 1, 1},    {3, 32, 5, 16, 112, 3, 1, 1},  {7, 32, 8, 8, 16, 3, 2, 1},
    {2, 96, 5, 14, 112, 3, 2, 1},   {2, 64, 9, 6, 96, 1, 2, 0},    {3, 32, 16, 17, 48, 1, 1, 0},
    {5, 256, 6, 7, 304, 1, 1, 0},   {2, 256, 3, 3, 64, 3, 1, 1},   {3, 1040, 2, 2, 16, 3, 1, 1},
    {4, 16, 11, 8, 32, 5, 3, 2},    {3, 3, 9, 11, 64, 7, 2, 3},    {3, 3, 11, 10, 16, 3, 1, 1},
    {2, 5, 6, 7, 9, 3, 1, 1},       {2, 3, 32, 32, 64, 3, 1, 1},   {19, 16, 4, 4, 16, 3, 1, 1},
    {2, 16, 12, 32, 16, 3, 1, 1},   {2, 272, 4, 4, 288, 3, 1, 1},  {70, 64, 2, 3, 64, 3, 2, 1},
    {2, 1040, 2, 2, 1072, 1, 1, 0}, {1, 16, 2, 3, 32, 3, 1, 1},    {7, 80, 12, 13, 64, 3, 1, 1},
    {20, 272, 8, 8, 16, 3, 2, 1},
};

enum { FORMS = sizeof forms / sizeof *forms };
static const char *const direction_name[DIRECTIONS] = {"forward", "backward-data",
                                                       "backward-weights"};

/* One form with its operands as plain floats, and what the plain loops make of them. */
struct trial {
    const struct form *form;
    struct unit_shape shape;
    struct layout layout[OPERANDS]; /* the weights' is a list of rows */
    float *plain[OPERANDS], *truth[DIRECTIONS];
};

static enum operand written(enum direction d)
{
    return d == FORWARD ? OPERAND_Y : d == BACKWARD_DATA ? OPERAND_X : OPERAND_W;
}

static void add_products(struct trial *t, int n, int row, int column, int tap)
{
    const struct form *f = t->form;
    const struct layout *x = &t->layout[OPERAND_X], *y = &t->layout[OPERAND_Y];
    int down = row * f->stride + tap / f->kernel - f->pad,
        right = column * f->stride + tap % f->kernel - f->pad;
    if (down < 0 || down >= x->h || right < 0 || right >= x->w)
        return;
    size_t at_x = layout_at(x, n, 0, down * x->w + right),
           at_y = layout_at(y, n, 0, row * y->w + column);
    for (size_t out = 0; out < (size_t)f->out; out++) {
        size_t at_w = (out * (size_t)(f->kernel * f->kernel) + (size_t)tap) * (size_t)f->in;
        for (size_t in = 0; in < (size_t)f->in; in++) {
            t->truth[FORWARD][at_y + out] +=
                t->plain[OPERAND_X][at_x + in] * t->plain[OPERAND_W][at_w + in];
            t->truth[BACKWARD_DATA][at_x + in] +=
                t->plain[OPERAND_Y][at_y + out] * t->plain[OPERAND_W][at_w + in];
            t->truth[BACKWARD_WEIGHTS][at_w + in] +=
                t->plain[OPERAND_X][at_x + in] * t->plain[OPERAND_Y][at_y + out];
        }
    }
}

static void trial_open(struct trial *t, const struct form *f)
{
    int h = (f->h + 2 * f->pad - f->kernel) / f->stride + 1,
        w = (f->w + 2 * f->pad - f->kernel) / f->stride + 1;
    *t = (struct trial){.form = f};
    t->shape =
        (struct unit_shape){UNIT_CONV, f->n, f->in,     f->h,      f->w,   f->out,
                            h,         w,    f->kernel, f->stride, f->pad, .first = f->in == 3};
    t->layout[OPERAND_X] = (struct layout){f->n, f->in, f->h, f->w, false};
    t->layout[OPERAND_W] = (struct layout){f->out, f->in, f->kernel, f->kernel, false};
    t->layout[OPERAND_Y] = (struct layout){f->n, f->out, h, w, false};
    for (enum operand o = 0; o < OPERANDS; o++) {
        size_t count = layout_elements(&t->layout[o]);
        struct random r = random_at(RANDOM_TEST, (uint64_t)(f - forms), o, 0, 0);
        t->plain[o] = xcalloc(count, sizeof(float));
        for (size_t i = 0; i < count; i++)
            t->plain[o][i] = ((float)random_below(&r, 17) - 8) / 16;
    }
    for (enum direction d = 0; d < DIRECTIONS; d++)
        t->truth[d] = xcalloc(layout_elements(&t->layout[written(d)]), sizeof(float));
    for (int n = 0; n < f->n; n++)
        for (int row = 0; row < h; row++)
            for (int column = 0; column < w; column++)
                for (int tap = 0; tap < f->kernel * f->kernel; tap++)
                    add_products(t, n, row, column, tap);
}

static void trial_close(struct trial *t)
{
    for (enum operand o = 0; o < OPERANDS; o++)
        xfree(t->plain[o]);
    for (enum direction d = 0; d < DIRECTIONS; d++)
        xfree(t->truth[d]);
}

static float from_bf16(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* What an algorithm is given: a copy between guards. All that it is to write, and the scratch
 * block, is full of NaN. */
struct copies {
    char *block[OPERANDS], *scratch;
    size_t bytes[OPERANDS], scratch_bytes;
    bool bf16[OPERANDS];
    void *operand[OPERANDS];
};

static void copies_open(struct copies *c, const struct trial *t, enum direction d, bool bf16,
                        size_t scratch)
{
    for (enum operand o = 0; o < OPERANDS; o++) {
        size_t count = layout_elements(&t->layout[o]);
        c->bf16[o] = bf16 && o != OPERAND_W && !(o == OPERAND_X && t->shape.first);
        c->bytes[o] = count * (c->bf16[o] ? 2 : 4);
        c->block[o] = xcalloc(c->bytes[o] + 2 * GUARD, 1);
        memset(c->block[o], 0xff, c->bytes[o] + 2 * GUARD);
        c->operand[o] = c->block[o] + GUARD;
        for (size_t i = 0; o != written(d) && i < count; i++) {
            uint32_t bits;
            memcpy(&bits, &t->plain[o][i], sizeof bits);
            bits >>= c->bf16[o] ? 16 : 0; /* nothing is lost: the numbers have four bits */
            memcpy((char *)c->operand[o] + i * (c->bf16[o] ? 2 : 4), &bits, c->bf16[o] ? 2 : 4);
        }
    }
    c->scratch = xcalloc(scratch + GUARD, 1);
    c->scratch_bytes = scratch;
    memset(c->scratch, 0xff, scratch + GUARD);
}

/* The address sanitizer, where there is one, sees who reads from a guard, too. */
static void forbid_guards(const struct copies *c)
{
    for (enum operand o = 0; o < OPERANDS; o++) {
        ASAN_POISON_MEMORY_REGION(c->block[o], GUARD);
        ASAN_POISON_MEMORY_REGION(c->block[o] + GUARD + c->bytes[o], GUARD);
    }
    ASAN_POISON_MEMORY_REGION(c->scratch + c->scratch_bytes, GUARD);
}

static void allow_guards(const struct copies *c)
{
    for (enum operand o = 0; o < OPERANDS; o++)
        ASAN_UNPOISON_MEMORY_REGION(c->block[o], c->bytes[o] + 2 * GUARD);
    ASAN_UNPOISON_MEMORY_REGION(c->scratch, c->scratch_bytes + GUARD);
}

static void copies_close(struct copies *c)
{
    for (enum operand o = 0; o < OPERANDS; o++)
        xfree(c->block[o]);
    xfree(c->scratch);
}

static bool untouched(const char *at)
{
    for (int i = 0; i < GUARD; i++)
        if ((unsigned char)at[i] != 0xff)
            return false;
    return true;
}

/* How many algorithms were tried in each direction. */
typedef int tally[ALGORITHMS][DIRECTIONS];

static void compare(const struct trial *t, enum direction d, const struct copies *c,
                    const char *name)
{
    enum operand o = written(d);
    const struct form *f = t->form;
    for (size_t i = 0; i < layout_elements(&t->layout[o]); i++) {
        double truth = (double)t->truth[d][i];
        float is;
        if (c->bf16[o])
            is = from_bf16(((const uint16_t *)c->operand[o])[i]);
        else
            is = ((const float *)c->operand[o])[i];
        if (!(fabs((double)is - truth) <= (c->bf16[o] ? fabs(truth) / 128 : 0)))
            fail_msg("%s, %s of %d x %dx%dx%d to %d channels, kernel %d/%d+%d: element %zu is %g, "
                     "not %g",
                     name, direction_name[d], f->n, f->in, f->h, f->w, f->out, f->kernel, f->stride,
                     f->pad, i, (double)is, truth);
    }
}

enum { EMULATED = 3 };
static const struct tiles *const emulation[EMULATED] = {&emulated_avx512, &emulated_avx512_bf16,
                                                        &emulated_amx_bf16};

/* The second time over what the first has left; emulated tiles are slow, and run but once. */
static int times(const struct tiles *t)
{
    for (int i = 0; i < EMULATED; i++)
        if (t && t == emulation[i])
            return 1;
    return 2;
}

/* One algorithm in one direction; false when it can't do this form. */
static bool try(const struct trial *t, const struct device *d, int which, enum direction dir,
                bool judged)
{
    char name[120];
    struct layout x = t->layout[OPERAND_X], y = t->layout[OPERAND_Y];
    struct algorithm algorithm;
    struct copies c;
    x.bf16 = d->bf16 && !t->shape.first;
    y.bf16 = d->bf16;
    if (!algorithm_open(&algorithm, which, d, dir, &t->shape, &x, &y))
        return false;
    size_t scratch = algorithm_scratch(&algorithm);
    snprintf(name, sizeof name, "%s%s%s, %d threads", algorithm_name(which), d->tiles ? " by " : "",
             d->tiles ? d->tiles->name : "", d->threads);
    copies_open(&c, t, dir, d->bf16, scratch);
    forbid_guards(&c);
    for (int again = 0; again < times(d->tiles); again++) {
        algorithm_run(&algorithm, c.operand, c.scratch);
        if (judged)
            compare(t, dir, &c, name);
    }
    allow_guards(&c);
    for (enum operand o = 0; o < OPERANDS; o++)
        if (!untouched(c.block[o]) || !untouched(c.block[o] + GUARD + c.bytes[o]))
            fail_msg("%s, %s: writes beyond operand %d", name, direction_name[dir], (int)o);
    if (!untouched(c.scratch + scratch))
        fail_msg("%s, %s: writes beyond its scratch", name, direction_name[dir]);
    copies_close(&c);
    algorithm_close(&algorithm);
    return true;
}

/* All forms in the algorithms from .. to - 1. */
static void try_all(const struct device *device, int from, int to, bool judged, tally tried)
{
    for (int i = 0; i < FORMS; i++) {
        struct trial t;
        trial_open(&t, &forms[i]);
        for (int which = from; which < to; which++)
            for (enum direction d = 0; d < DIRECTIONS; d++)
                for (int threads = 1;
                     (d != BACKWARD_DATA || !t.shape.first) && threads <= MOST_THREADS; threads++) {
                    struct device own = *device;
                    own.threads = threads;
                    omp_set_num_threads(threads);
                    tried[which][d] += try(&t, &own, which, d, judged);
                }
        trial_close(&t);
    }
}

static void must_have_tried(tally tried, int which, enum direction d, const char *who)
{
    if (!tried[which][d])
        fail_msg("%s: no form was tried %s by algorithm %s", who, direction_name[d],
                 algorithm_name(which));
}

/* The same tiles; NULL when there are none that this machine can do. */
static const struct tiles *emulated(const struct tiles *t)
{
    for (int i = 0; i < EMULATED; i++)
        if (emulation[i] && !strcmp(emulation[i]->name, t->name) && emulation[i]->able())
            return emulation[i];
    return NULL;
}

static void try_tiles(struct device *device, bool bf16, int *able)
{
    for (int i = 0; tiles_at(i); i++) {
        const struct tiles *t = tiles_at(i);
        tally tried = {0};
        if (t->bf16 != bf16)
            continue;
        bool own = t->able();
        device->tiles = own ? t : emulated(t);
        if (device->tiles && !own)
            printf("%s: emulated, this machine lacks it\n", t->name);
        if (!device->tiles) {
            printf("%s: skipped, this machine lacks it\n", t->name);
            continue;
        }
        (*able)++;
        try_all(device, ALGORITHM_DIRECT, ALGORITHMS, true, tried);
        for (enum direction d = 0; d < DIRECTIONS; d++)
            must_have_tried(tried, ALGORITHM_DIRECT, d, t->name);
        for (enum direction d = FORWARD; d <= BACKWARD_DATA && t->slide; d++)
            must_have_tried(tried, ALGORITHM_SIMD, d, t->name);
        for (enum direction d = 0; d < DIRECTIONS && !bf16; d++)
            must_have_tried(tried, ALGORITHM_WINOGRAD, d, t->name);
    }
}

static void test_f32(void **state)
{
    (void)state;
    int able = 0;
    if (!algorithm_open)
        skip();
    struct device device = {.library = library_open(), .blas = blas_open()};
    tally tried = {0};
    try_all(&device, 0, ALGORITHM_DIRECT, true, tried);
    for (int which = 0; which < (device.blas.sgemm ? ALGORITHM_DIRECT : METHODS); which++)
        for (enum direction d = 0; d < DIRECTIONS; d++)
            must_have_tried(tried, which, d, "the libraries");
    try_tiles(&device, false, &able);
    library_close(device.library);
}

/* The library's own kernels are not judged: some of oneDNN 2.6's are wrong in bf16
 * (backend/onednn/verification.h). */
static void test_bf16(void **state)
{
    (void)state;
    int able = 0;
    if (!algorithm_open)
        skip();
    struct device device = {.library = library_open(), .bf16 = true};
    tally tried = {0};
    if (library_has_bf16())
        try_all(&device, 0, METHODS, false, tried);
    try_tiles(&device, true, &able);
    library_close(device.library);
    if (!able)
        skip();
}

/* Tiles of plain loops, of AVX-512's shapes: so what Winograd's algorithm does around wide tiles is
 * tried on any machine. */
static void plain_dot(const struct dot *d, int rows, int vectors)
{
    for (int row = 0; row < rows; row++)
        for (int column = 0; column < vectors * LANES; column++) {
            float *to = (float *)d->to + (size_t)row * d->to_step + column, sum = d->add ? *to : 0;
            for (int tap = 0; tap < d->taps; tap++)
                for (int k = 0; k < d->depth; k++)
                    sum +=
                        ((const float *)d
                             ->source)[(size_t)row * d->source_step + (size_t)(d->tap[tap].a + k)] *
                        ((const float *)d->weights)[d->tap[tap].b + k * vectors * LANES + column];
            *to = sum;
        }
}

static void plain_outer(const struct outer *o, int rows, int vectors)
{
    for (int row = 0; row < rows; row++)
        for (int column = 0; column < vectors * LANES; column++) {
            float *to = o->to + (size_t)row * o->to_step + column, sum = o->add ? *to : 0;
            for (int tap = 0; tap < o->taps; tap++) {
                const float *a = (const float *)o->a.at +
                                 (ptrdiff_t)o->a.pixel * (o->tap[tap].a - o->a.first) + row;
                const float *b = (const float *)o->b.at +
                                 (ptrdiff_t)o->b.pixel * (o->tap[tap].b - o->b.first) + column;
                for (size_t k = 0; k < (size_t)o->count; k++)
                    sum += a[k * o->a.step] * b[k * o->b.step];
            }
            *to = sum;
        }
}

static void plain_pack_transposed(const float *from, size_t step, int depth, int vectors, void *to)
{
    for (int k = 0; k < depth; k++)
        for (int column = 0; column < vectors * LANES; column++)
            ((float *)to)[k * vectors * LANES + column] = from[(size_t)column * step + (size_t)k];
}

/* a becomes matrix a matrix' along both sides of a square. */
static void plain_change(const struct square *s, int in, int out, bool from_points,
                         const float *matrix)
{
    for (int n = 0; n < s->count; n++)
        for (int channel = 0; channel < s->channels; channel++) {
            size_t at_place = (size_t)n * s->next_place + (size_t)channel;
            size_t at_point = (size_t)n * s->next_point + (size_t)(channel / LANES) * s->line_step +
                              (size_t)(channel % LANES);
            for (int to = 0; to < out * out; to++) {
                float sum = 0;
                for (int i = 0; i < in * in; i++)
                    sum += matrix[to / out * in + i / in] * matrix[to % out * in + i % in] *
                           (from_points ? s->point[at_point + (size_t)i * s->point_step]
                                        : s->place[i][at_place]);
                *(from_points ? &s->place[to][at_place]
                              : &s->point[at_point + (size_t)to * s->point_step]) = sum;
            }
        }
}

static void plain_window(const struct square *s)
{
    plain_change(s, 4, 4, false,
                 (const float[]){1, 0, -1, 0, 0, 1, 1, 0, 0, -1, 1, 0, 0, 1, 0, -1});
}

static void plain_result(const struct square *s)
{
    plain_change(s, 2, 4, false, (const float[]){1, 0, 1, 1, 1, -1, 0, -1});
}

static void plain_kernel(const struct square *s)
{
    plain_change(s, 3, 4, false, (const float[]){1, 0, 0, 0.5, 0.5, 0.5, 0.5, -0.5, 0.5, 0, 0, 1});
}

static void plain_to_result(const struct square *s)
{
    plain_change(s, 4, 2, true, (const float[]){1, 1, 1, 0, 0, 1, -1, -1});
}

static void plain_to_kernel(const struct square *s)
{
    plain_change(s, 4, 3, true, (const float[]){1, 0.5, 0.5, 0, 0, 0.5, -0.5, 0, 0, 0.5, 0.5, 1});
}

static void test_plain_tiles(void **state)
{
    (void)state;
    if (!algorithm_open)
        skip();
    const struct tiles plain = {
        .name = "plain loops",
        .dot_size = {4, {12, 12, 8, 6}},
        .outer_size = {4, {16, 8, 6, 6}},
        .dot = plain_dot,
        .outer = plain_outer,
        .change = {[WINDOW_TO_POINTS] = plain_window,
                   [RESULT_TO_POINTS] = plain_result,
                   [KERNEL_TO_POINTS] = plain_kernel,
                   [POINTS_TO_RESULT] = plain_to_result,
                   [POINTS_TO_KERNEL] = plain_to_kernel},
        .pack_transposed = plain_pack_transposed,
        .pack = tile_pack_f32,
    };
    struct device device = {.library = library_open(), .tiles = &plain};
    tally tried = {0};
    try_all(&device, ALGORITHM_WINOGRAD, ALGORITHM_WINOGRAD + 1, true, tried);
    for (enum direction d = 0; d < DIRECTIONS; d++)
        must_have_tried(tried, ALGORITHM_WINOGRAD, d, plain.name);
    library_close(device.library);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32),
        cmocka_unit_test(test_plain_tiles),
        cmocka_unit_test(test_bf16),
    };
    return cmocka_run_group_tests_name("algorithms", tests, NULL, NULL);
}
