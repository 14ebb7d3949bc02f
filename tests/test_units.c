/* Does every kind of unit mean what it should? Three truths, independent of each other.
 *
 * PyTorch, in double (reference/units.py prints numbers like these): the values. Finite
 * differences, in double, of sum(y dy) by every input: the gradients, over all kinds, flags and odd
 * shapes. And what must hold anyway: inference with the batch's statistics is training's forward, a
 * NaN gets through. All of it runs the loops of the reference backend, compiled for double. */
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
#include "base/random.h"

#define real double
#include "backend/ref/kernels.h"

enum { SEED = 1, SAMPLES = 64 };

/* One unit with all its tensors, those that it writes full of NaN. */
struct trial {
    struct unit_shape shape;
    struct ref_call call;
    double *w, *x, *skip, *dy, *dy2; /* what the call reads */
    size_t w_count;
    uint64_t key; /* of dropout */
    char name[220];
};

/* Counts the doubles out of *next on behalf of a tensor; the first round, without memory, only
 * counts. */
static double *take(double *base, size_t *used, size_t count)
{
    double *at = base ? base + *used : NULL;
    *used += count;
    return at;
}

static size_t place_tensors(struct trial *t, double *base)
{
    const struct unit_shape *s = &t->shape;
    size_t used = 0, in = x_count(s), out = y_count(s), channels = (size_t)s->out_c;
    t->w = take(base, &used, t->w_count);
    t->x = take(base, &used, in);
    t->skip = take(base, &used, out);
    t->dy = take(base, &used, out);
    t->dy2 = take(base, &used, out);
    struct ref_call *c = &t->call;
    c->w = t->w, c->x = t->x, c->skip = t->skip, c->dy = t->dy, c->dy2 = t->dy2;
    c->g = take(base, &used, t->w_count);
    c->y = take(base, &used, out);
    c->saved = take(base, &used, ref_saved(s));
    c->dx = take(base, &used, in);
    c->dskip = take(base, &used, out);
    c->mean = take(base, &used, channels);
    c->variance = take(base, &used, channels);
    c->scratch = take(base, &used, ref_scratch(s));
    c->key = &t->key;
    c->threads = 1;
    return used;
}

static void open_trial(struct trial *t, const struct unit_shape *s)
{
    char unit[48];
    unit_describe(s, unit, sizeof unit);
    *t = (struct trial){.shape = *s, .w_count = (size_t)unit_parameters(s)};
    snprintf(t->name, sizeof t->name,
             "seed %d, %s, batch %d, [%d %d %d] -> [%d %d %d], kernel %d, stride %d, pad %d%s",
             SEED, unit, s->batch, s->in_c, s->in_h, s->in_w, s->out_c, s->out_h, s->out_w,
             s->kernel, s->stride, s->pad, s->skip ? ", skip" : "");
    size_t count = place_tensors(t, NULL);
    double *base = xcalloc(count, sizeof *base);
    for (size_t i = 0; i < count; i++)
        base[i] = NAN;
    place_tensors(t, base);
}

static void close_trial(struct trial *t)
{
    xfree(t->w);
}

static void fill_random(struct trial *t)
{
    const struct unit_shape *s = &t->shape;
    struct random r = random_at(RANDOM_TEST, SEED, s->kind, (uint64_t)s->batch, (uint64_t)s->in_h);
    for (double *v = t->w; v < t->dy2 + y_count(s); v++)
        *v = random_normal(&r);
}

static double objective(const struct trial *t)
{
    ref_forward(&t->shape, &t->call, UNIT_TRAIN);
    double sum = 0;
    for (size_t i = 0; i < y_count(&t->shape); i++)
        sum += t->call.y[i] * dy_at(&t->call, i);
    return sum;
}

/* The objective's slope when v moves along `direction` (NULL: when element `one` moves), by central
 * differences. */
static double slope(const struct trial *t, double *v, const double *direction, size_t one,
                    size_t count)
{
    const double h = 1e-6;
    double side[2], *kept = xcalloc(count, sizeof *kept);
    memcpy(kept, v, count * sizeof *v);
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < count; i++)
            v[i] = kept[i] + (k ? -h : h) * (direction ? direction[i] : i == one);
        side[k] = objective(t);
    }
    memcpy(v, kept, count * sizeof *v);
    xfree(kept);
    return (side[0] - side[1]) / (2 * h);
}

/* Up to SAMPLES single elements, then all at once in a random direction. Tolerance: 1e-6 of the
 * gradient's norm: rounding leaves about 1e-9. */
static void check_gradient(const struct trial *t, const char *what, double *v,
                           const double *gradient, size_t count)
{
    struct random r = random_at(RANDOM_TEST, SEED, 1, count, 0);
    double *direction = xcalloc(count, sizeof *direction), along = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        direction[i] = random_normal(&r);
        along += direction[i] * gradient[i];
        squares += gradient[i] * gradient[i];
    }
    double tolerance = 1e-6 * (sqrt(squares) + 1e-3);
    for (size_t k = 0; k < count && k < SAMPLES; k++) {
        size_t i = count <= SAMPLES ? k : random_below(&r, count);
        double truth = slope(t, v, NULL, i, count);
        if (!(fabs(truth - gradient[i]) <= tolerance))
            fail_msg("%s: d%s[%zu] is %.12g, by finite differences %.12g", t->name, what, i,
                     gradient[i], truth);
    }
    double truth = slope(t, v, direction, 0, count);
    if (!(fabs(truth - along) <= 10 * tolerance))
        fail_msg("%s: d%s along a random direction is %.12g, by finite differences %.12g", t->name,
                 what, along, truth);
    xfree(direction);
}

static void check_unit(const struct unit_shape *s, bool second_gradient)
{
    struct trial t;
    open_trial(&t, s);
    fill_random(&t);
    if (!second_gradient)
        t.call.dy2 = NULL;
    if (!s->skip)
        t.call.skip = t.call.dskip = NULL;
    objective(&t);
    ref_backward(s, &t.call);
    const double *g = t.call.g, *dx = t.call.dx, *dskip = t.call.dskip;
    check_gradient(&t, "w", t.w, g, t.w_count);
    check_gradient(&t, "x", t.x, dx, x_count(s));
    if (s->skip)
        check_gradient(&t, "skip", t.skip, dskip, y_count(s));
    close_trial(&t);
}

/* Sizes that are no multiples of anything; more channels than the kernels sum at a time; an image
 * of one pixel. */
struct size {
    int batch, in_c, h, w, out_c;
};

static const struct size sizes[] = {
    {2, 3, 5, 6, 4}, {1, 2, 7, 4, 5}, {3, 5, 1, 1, 2}, {3, 1, 2, 2, 7}, {3, 67, 2, 1, 66}};

enum { SIZES = sizeof sizes / sizeof *sizes };

static struct unit_shape shape_of(enum unit_kind kind, const struct size *z, int kernel, int stride,
                                  int pad)
{
    struct unit_shape s = {.kind = kind,
                           .batch = z->batch,
                           .in_c = z->in_c,
                           .in_h = z->h,
                           .in_w = z->w,
                           .out_c = z->out_c};
    s.kernel = kernel;
    s.stride = stride;
    s.pad = pad;
    s.out_h = (z->h + 2 * pad - kernel) / stride + 1;
    s.out_w = (z->w + 2 * pad - kernel) / stride + 1;
    return s;
}

static void test_conv_gradients(void **state)
{
    (void)state;
    static const int windows[][2] = {{1, 0}, {3, 1}, {3, 0}, {7, 3}}; /* kernel, pad */
    int checked = 0;
    for (const struct size *z = sizes; z < sizes + SIZES; z++)
        for (int i = 0; i < 2 * 4 * 8; i++) {
            int kernel = windows[i / 16][0], pad = windows[i / 16][1], stride = 1 + i / 8 % 2,
                flags = i % 8;
            bool fits = z->h + 2 * pad >= kernel && z->w + 2 * pad >= kernel,
                 costly = z->in_c > BLOCK && kernel > 1 && flags < 7;
            if (!fits || costly)
                continue;
            struct unit_shape s = shape_of(UNIT_CONV, z, kernel, stride, pad);
            s.norm = flags & 1, s.skip = flags & 2, s.relu = flags & 4;
            s.bias = s.norm && i % 3 == 0;
            check_unit(&s, checked++ % 2);
        }
    assert_in_range(checked, 150, 400);
}

/* What other networks than ResNets need: biases, dense layers over images, pools of other windows,
 * dropout (whose mask is the same in all passes of a slope). */
static void test_gradients_of_other_networks(void **state)
{
    (void)state;
    static const int windows[][3] = {{2, 2, 0}, {2, 1, 1}, {5, 3, 2}, {1, 1, 0}, {4, 2, 1}};
    int checked = 0;
    for (int i = 0; i < 4 * SIZES; i++) {
        struct size z = sizes[i / 4];
        struct unit_shape s = shape_of(UNIT_CONV, &z, i % 2 ? 1 : 3, 1, i % 2 ? 0 : 1);
        s.bias = true, s.skip = i % 2, s.relu = i & 2;
        check_unit(&s, i % 3 == 0);
        s = shape_of(UNIT_DENSE, &z, 1, 1, 0);
        s.out_h = s.out_w = 1, s.relu = i % 2, s.hidden = i & 2;
        check_unit(&s, i % 3 == 0);
        z.out_c = z.in_c;
        s = shape_of(UNIT_DROPOUT, &z, 1, 1, 0);
        s.drop = 0.3f, s.number = i, s.by_channel = i & 2;
        check_unit(&s, i % 3 == 0);
        s = shape_of(UNIT_GROUP_NORM, &z, 1, 1, 0);
        s.groups = z.in_c == 5 ? 5 : 1, s.skip = i & 1, s.relu = i & 2;
        check_unit(&s, i % 3 == 0);
        s = shape_of(UNIT_MEAN_POOL, &z, 1, 1, 0);
        s.out_h = 1 + i % 7, s.out_w = 1 + i % 4;
        check_unit(&s, i % 3 == 0);
        for (size_t k = 0; k < sizeof windows / sizeof *windows; k++) {
            const int *window = windows[k];
            if (z.h + 2 * window[2] < window[0] || z.w + 2 * window[2] < window[0])
                continue;
            s = shape_of(UNIT_MAX_POOL, &z, window[0], window[1], window[2]);
            check_unit(&s, i % 3 == 0);
            checked++;
        }
    }
    assert_true(checked >= 40);
}

static void test_other_gradients(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * SIZES; i++) {
        struct size z = sizes[i / 2], vector = {z.batch, z.in_c, 1, 1, z.out_c};
        struct unit_shape s = shape_of(UNIT_DENSE, &vector, 1, 1, 0);
        check_unit(&s, i % 2);
        z.out_c = z.in_c;
        s = shape_of(UNIT_MEAN_POOL, &z, 1, 1, 0);
        s.out_h = s.out_w = 1;
        check_unit(&s, i % 2);
        for (int stride = 1; stride <= 3; stride++) {
            s = shape_of(UNIT_MAX_POOL, &z, 3, stride, 1);
            check_unit(&s, i % 2);
            s = shape_of(UNIT_SHORTCUT, &z, 1, stride, 0);
            s.out_c += stride - 1;
            check_unit(&s, i % 2);
        }
    }
}

struct truth {
    struct unit_shape shape;
    struct {
        double y, dx, dskip, g, mean, variance; /* of each tensor element i times cos(i), summed */
    } sum;
};

/* batch, input (channels, height, width), output, window; then flags */
#define SHAPE(what, n, ic, ih, iw, oc, oh, ow, side, step, edge, ...)                              \
    {                                                                                              \
        .kind = UNIT_##what, .batch = n, .in_c = ic, .in_h = ih, .in_w = iw, .out_c = oc,          \
        .out_h = oh, .out_w = ow, .kernel = side, .stride = step, .pad = edge, __VA_ARGS__         \
    }

static const struct truth by_pytorch[] = {
    {SHAPE(CONV, 2, 3, 5, 6, 4, 5, 6, 3, 1, 1, .norm = true, .skip = true, .relu = true),
     {0.985846620846026, 0.0985260716766172, 0.525416947153801, 7.38216616916055,
      -0.0763402075627647, 0.613803405851007}},
    {SHAPE(CONV, 1, 2, 9, 7, 5, 5, 4, 7, 2, 3, .norm = true, .relu = true),
     {-0.330077518057186, -10.5390082900114, 0, 3.14455161319316, -0.0649076359989019,
      -2.34399637227935}},
    {SHAPE(CONV, 3, 4, 4, 3, 3, 2, 2, 1, 2, 0, .norm = true),
     {1.17583622246167, -0.24185815270627, 0, 1.45392502046836, -0.0290955025713416,
      2.28137939657285}},
    {SHAPE(CONV, 2, 5, 3, 3, 2, 2, 2, 3, 2, 1, .relu = true),
     {-0.478105221884247, 0.838773522926264, 0, -4.22671950658781, 0, 0}},
    {SHAPE(CONV, 2, 2, 4, 4, 3, 2, 2, 3, 1, 0, .skip = true),
     {-6.19761065069198, -1.70736913998688, -0.527362115267399, -6.93581215334773, 0, 0}},
    {SHAPE(DENSE, 3, 5, 1, 1, 4, 1, 1, 1, 1, 0),
     {4.12853659380601, 1.12043570361594, 0, 0.426385693781142, 0, 0}},
    {SHAPE(MAX_POOL, 2, 3, 7, 6, 3, 4, 3, 3, 2, 1),
     {0.802053075959395, -3.80352022035968, 0, 0, 0, 0}},
    {SHAPE(MEAN_POOL, 2, 3, 4, 5, 3, 1, 1, 1, 1, 0),
     {0.103417932194805, 0.0222142971086248, 0, 0, 0, 0}},
    {SHAPE(SHORTCUT, 2, 3, 5, 4, 7, 3, 2, 1, 2, 0),
     {0.391922148847032, 0.804334314572745, 0, 0, 0, 0}},
    {SHAPE(CONV, 2, 3, 6, 5, 4, 6, 5, 5, 1, 2, .bias = true),
     {1.56703786358534, -4.53596279718171, 0, 12.1290746907674, 0, 0}},
    {SHAPE(CONV, 2, 2, 7, 6, 5, 4, 3, 3, 2, 1, .relu = true, .bias = true),
     {-2.6082239568452, 17.0756976046299, 0, -3.59858268374213, 0, 0}},
    {SHAPE(DENSE, 3, 4, 2, 3, 5, 1, 1, 1, 1, 0, .relu = true, .hidden = true),
     {1.56048439020584, -1.04833263034066, 0, 1.6154260786457, 0, 0}},
    {SHAPE(MAX_POOL, 2, 3, 6, 7, 3, 3, 3, 2, 2, 0),
     {0.214014419509114, -5.12514593626561, 0, 0, 0, 0}},
    {SHAPE(MAX_POOL, 2, 2, 7, 8, 2, 3, 3, 5, 3, 2),
     {-0.47801202312319, -1.78983183111039, 0, 0, 0, 0}},
    {SHAPE(MEAN_POOL, 2, 3, 5, 4, 3, 3, 3, 1, 1, 0),
     {0.871777100077692, 0.0687032471848635, 0, 0, 0, 0}},
    {SHAPE(MEAN_POOL, 2, 3, 2, 3, 3, 7, 4, 1, 1, 0),
     {3.04433142587387, 6.22037729738939, 0, 0, 0, 0}},
    {SHAPE(CONV, 2, 2, 7, 6, 5, 4, 3, 3, 2, 1, .norm = true, .relu = true, .bias = true),
     {-1.13906914088185, -13.7901702288406, 0, 3.46738440979267, 2.18114267045916,
      -5.00796481455458}},
    {SHAPE(GROUP_NORM, 2, 6, 3, 4, 6, 3, 4, 1, 1, 0, .relu = true, .groups = 3),
     {1.2866994405476, 2.50566529741739, 0, 4.64688994046775, 0, 0}},
};

static double checksum(const double *v, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += v[i] * cos((double)i);
    return sum;
}

static void expect(const char *name, const char *what, double is, double truth)
{
    if (!(fabs(is - truth) <= 1e-10 * (fabs(truth) + 1.0)))
        fail_msg("%s: %s is %.15g, PyTorch's %.15g", name, what, is, truth);
}

static void test_as_pytorch(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof by_pytorch / sizeof *by_pytorch; k++) {
        const struct truth *truth = &by_pytorch[k];
        const struct unit_shape *s = &truth->shape;
        struct trial t;
        open_trial(&t, s);
        for (size_t i = 0; i < t.w_count; i++)
            t.w[i] = cos(0.9 * (double)i);
        for (size_t i = 0; i < x_count(s); i++)
            t.x[i] = sin(0.7 * (double)i + 0.1);
        for (size_t i = 0; i < y_count(s); i++) {
            t.skip[i] = sin(0.3 * (double)i + 0.4);
            t.dy[i] = cos(0.5 * (double)i + 0.3);
        }
        t.call.dy2 = NULL;
        ref_forward(s, &t.call, UNIT_TRAIN);
        ref_backward(s, &t.call);
        expect(t.name, "y", checksum(t.call.y, y_count(s)), truth->sum.y);
        expect(t.name, "dx", checksum(t.call.dx, x_count(s)), truth->sum.dx);
        expect(t.name, "g", checksum(t.call.g, t.w_count), truth->sum.g);
        if (s->skip)
            expect(t.name, "dskip", checksum(t.call.dskip, y_count(s)), truth->sum.dskip);
        if (s->norm) {
            expect(t.name, "mean", checksum(t.call.mean, (size_t)s->out_c), truth->sum.mean);
            expect(t.name, "variance", checksum(t.call.variance, (size_t)s->out_c),
                   truth->sum.variance);
        }
        close_trial(&t);
    }
}

/* Inference with the statistics of the batch must repeat the forward of training; it needs no room
 * to save. With others it must not. */
static void test_inference(void **state)
{
    (void)state;
    for (int flags = 0; flags < 4; flags++) {
        struct unit_shape s = shape_of(UNIT_CONV, &sizes[0], 3, 1, 1);
        s.norm = true, s.skip = flags & 1, s.relu = flags & 2;
        struct trial t;
        open_trial(&t, &s);
        fill_random(&t);
        double kept[2 * 5 * 6 * 4], difference = 0;
        assert_int_equal(y_count(&s), sizeof kept / sizeof *kept);
        ref_forward(&s, &t.call, UNIT_TRAIN);
        memcpy(kept, t.call.y, sizeof kept);
        t.call.saved = NULL;
        memset(t.call.y, 0xff, sizeof kept);
        ref_forward(&s, &t.call, UNIT_INFER);
        assert_memory_equal(kept, t.call.y, sizeof kept);
        t.call.mean[1] += 0.5;
        t.call.variance[2] *= 2.0;
        ref_forward(&s, &t.call, UNIT_INFER);
        for (size_t i = 0; i < y_count(&s); i++)
            if (i % 4 == 0 || i % 4 == 3)
                assert_true(kept[i] == t.call.y[i]);
            else
                difference += fabs(kept[i] - t.call.y[i]);
        assert_true(difference > 1.0);
        close_trial(&t);
    }
}

/* A diverged run must be seen in the loss: no unit may swallow a NaN. */
static void test_nan_gets_through(void **state)
{
    (void)state;
    for (enum unit_kind kind = UNIT_CONV; kind <= UNIT_GROUP_NORM; kind++) {
        struct size z = {2, 3, 4, 4, 3};
        struct unit_shape s =
            shape_of(kind, &z, kind == UNIT_MAX_POOL ? 3 : 1, 1, kind == UNIT_MAX_POOL);
        s.norm = kind == UNIT_CONV, s.relu = kind <= UNIT_DENSE;
        if (kind == UNIT_MEAN_POOL || kind == UNIT_DENSE)
            s.out_h = s.out_w = 1;
        s.drop = 0.9f; /* dropped or not */
        s.groups = 3;
        struct trial t;
        open_trial(&t, &s);
        fill_random(&t);
        t.x[0] = NAN;
        ref_forward(&s, &t.call, UNIT_TRAIN);
        if (!isnan(t.call.y[0]))
            fail_msg("%s: a NaN in x leaves y = %g", t.name, t.call.y[0]);
        close_trial(&t);
    }
}

static void test_counts(void **state)
{
    (void)state;
    struct unit_shape s = shape_of(UNIT_CONV, &(struct size){2, 3, 8, 8, 5}, 3, 2, 1);
    assert_int_equal(unit_parameters(&s), 5 * 9 * 3);
    assert_true(unit_flops(&s) == 2.0 * 2 * 4 * 4 * 5 * 9 * 3);
    s.bias = true;
    assert_int_equal(unit_parameters(&s), 5 * 9 * 3 + 5);
    s.bias = false, s.norm = true;
    assert_int_equal(unit_parameters(&s), 5 * 9 * 3 + 2 * 5);
    s.kind = UNIT_MAX_POOL;
    assert_int_equal(unit_parameters(&s), 0);
    s = shape_of(UNIT_DENSE, &(struct size){2, 2048, 1, 1, 1000}, 1, 1, 0);
    assert_int_equal(unit_parameters(&s), 2049000);
    assert_true(unit_flops(&s) == 2.0 * 2 * 2048 * 1000);
    s.in_h = 3, s.in_w = 5;
    assert_int_equal(unit_parameters(&s), 15 * 2048000 + 1000);
    assert_true(unit_flops(&s) == 15 * 2.0 * 2 * 2048 * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_pytorch),      cmocka_unit_test(test_conv_gradients),
        cmocka_unit_test(test_other_gradients), cmocka_unit_test(test_gradients_of_other_networks),
        cmocka_unit_test(test_inference),       cmocka_unit_test(test_nan_gets_through),
        cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
