/* Views of images: which part is shown, against torchvision's numbers; resampling against double
 * precision. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bitmap/bitmap.h"
#include "bitmap/resample.h"

static double triangle(double x)
{
    return fabs(x) < 1 ? 1 - fabs(x) : 0;
}

/* Output i of `size`, exactly, from the inputs that the box touches. */
static double exact(const uint8_t *in, int step, double from, double box, int size, int i)
{
    double scale = box / size, support = fmax(scale, 1), centre = from + (i + 0.5) * scale;
    double sum = 0, weights = 0;
    for (int x = (int)from; x < from + box; x++) {
        double w = triangle((x + 0.5 - centre) / support);
        sum += w * in[x * step];
        weights += w;
    }
    return sum / weights;
}

static void an_axis_is_resampled_exactly(void **state)
{
    (void)state;
    enum { LENGTH = 200, MOST = 300 };
    struct random r = random_at(RANDOM_TEST, 9, 9, 9, 9);
    for (int trial = 0; trial < 300; trial++) {
        uint8_t in[(LENGTH + 2) * 4 + BITMAP_SLACK], out[MOST * 4];
        for (size_t i = 0; i < sizeof in; i++)
            in[i] = (uint8_t)random_bits(&r);
        int length = 1 + (int)random_below(&r, LENGTH), size = 1 + (int)random_below(&r, MOST),
            first = (int)random_below(&r, (uint64_t)size),
            count = 1 + (int)random_below(&r, (uint64_t)(size - first));
        double box = random_uniform(&r) * (length - 0.5) + 0.5,
               from = random_uniform(&r) * (length - box);
        struct resampler s = {.room = 0};
        struct bitmap b = {.part = {0, 0, length, 1}, .pixels = in, .room = sizeof in};
        resample_axis_set(&s.across, from, box, size, first, count);
        resample_axis_set(&s.down, 0, 1, 1, 0, 1);
        resample(&s, &b, out);
        for (int i = 0; i < count * 4; i++) {
            double wanted = exact(in + i % 4, 4, from, box, size, first + i / 4);
            if (fabs(out[i] - wanted) > 0.501)
                fail_msg("%d of %d, box %g + %g to %d: %d, wanted %.4f", first + i / 4, length,
                         from, box, size, out[i], wanted);
        }
        /* the same along columns */
        struct bitmap column = {.part = {0, 0, 1, length}, .pixels = in, .room = sizeof in};
        uint8_t turned[MOST * 4];
        struct resampler t = {.room = 0};
        resample_axis_set(&t.down, from, box, size, first, count);
        resample_axis_set(&t.across, 0, 1, 1, 0, 1);
        resample(&t, &column, turned);
        assert_memory_equal(out, turned, (size_t)count * 4);
        resampler_close(&s);
        resampler_close(&t);
    }
}

static void a_random_view_is_torchvisions(void **state)
{
    (void)state;
    enum { DRAWS = 20000, W = 500, H = 375 };
    double area = 0, mirrors = 0, least = 1, most = 0;
    for (int i = 0; i < DRAWS; i++) {
        struct random r = random_at(RANDOM_TEST, (uint64_t)i, 0, 0, 0);
        struct bitmap_view v = bitmap_view_random(W, H, 224, 0.08, &r);
        double part = (double)v.box.width * v.box.height / (W * H),
               ratio = (double)v.box.width / v.box.height;
        assert_true(v.box.left >= 0 && v.box.left + v.box.width <= W);
        assert_true(v.box.top >= 0 && v.box.top + v.box.height <= H);
        assert_true(ratio > 0.74 && ratio < 1.35);
        area += part / DRAWS;
        mirrors += v.mirror ? 1.0 / DRAWS : 0;
        least = fmin(least, part);
        most = fmax(most, part);
    }
    /* A box of a large area often doesn't fit, and is drawn again: the mean by torchvision's rule
     * is 0.4327 (400,000 draws in Python), less than the 0.54 that are asked for. */
    if (fabs(area - 0.4327) > 0.006 || fabs(mirrors - 0.5) > 0.015 || least > 0.09 || most < 0.95)
        fail_msg("mean area %.4f, mirrored %.3f, areas %.3f to %.3f", area, mirrors, least, most);
    struct random r = random_at(RANDOM_TEST, 1, 0, 0, 0);
    struct bitmap_view v = bitmap_view_random(30000, 10, 224, 0.08, &r);
    assert_memory_equal(&v.box, (&(struct bitmap_box){14993, 0, 13, 10}), sizeof v.box);
    v = bitmap_view_random(10, 30000, 224, 0.08, &r);
    assert_memory_equal(&v.box, (&(struct bitmap_box){0, 14993, 10, 13}), sizeof v.box);
    v = bitmap_view_random(1, 1, 224, 0.08, &r);
    assert_memory_equal(&v.box, (&(struct bitmap_box){0, 0, 1, 1}), sizeof v.box);
}

static void a_centre_view_is_torchvisions(void **state)
{
    (void)state;
    struct bitmap_view v = bitmap_view_centre(500, 375, 256, 224);
    assert_int_equal(v.width, 341);
    assert_int_equal(v.height, 256);
    assert_memory_equal(&v.window, (&(struct bitmap_box){58, 16, 224, 224}), sizeof v.window);
    v = bitmap_view_centre(10, 30000, 256, 224);
    assert_int_equal(v.width, 256);
    assert_int_equal(v.height, 768000);
    v = bitmap_view_shrink(500, 375, 400);
    assert_int_equal(v.width, 500);
    v = bitmap_view_shrink(375, 500, 75);
    assert_int_equal(v.width, 75);
    assert_int_equal(v.height, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_axis_is_resampled_exactly),
        cmocka_unit_test(a_random_view_is_torchvisions),
        cmocka_unit_test(a_centre_view_is_torchvisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
