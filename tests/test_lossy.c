/* Codecs that lose something, by their rules: int8 has no bias, what is left out is
 * remembered, topk takes the greatest, randk takes all alike. */
#include "serialization/serialization.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "serialization/sparse.h"
#include "tests/codec_fixture.h"

enum { BLOCK = 512 };

/* The mean of what arrives is what was sent, float by float and in the sum of all; blocks: many
 * sizes, one of subnormals, a short one. */
static void test_int8_is_unbiased(void **state)
{
    (void)state;
    enum { COUNT = 2 * BLOCK + 100, MESSAGES = 2000 };
    float *v = codec_fixture_floats(COUNT, 1);
    for (int i = BLOCK; i < 2 * BLOCK; i++)
        v[i] = (float)ldexp(v[i], -140);
    double *sum = xcalloc(COUNT, sizeof *sum), z_sum = 0;
    struct codec_fixture l = codec_fixture_open(
        "int8", (struct coder_options){.count = COUNT, .seed = 3, .worker = 1, .stream = 2});
    for (int m = 0; m < MESSAGES; m++) {
        const float *back = codec_fixture_carry(&l, v);
        for (int i = 0; i < COUNT; i++)
            sum[i] += (double)back[i];
    }
    for (int i = 0; i < COUNT; i++) {
        float scale;
        memcpy(&scale, l.message + i / BLOCK * (BLOCK + 4), sizeof scale);
        double steps = fabs(v[i] / (double)scale), part = steps - floor(steps),
               sigma = sqrt(part * (1 - part) / MESSAGES);
        double off = (sum[i] / MESSAGES - v[i]) / scale;
        if (fabs(off) > 5 * sigma + 0x1p-16)
            fail_msg("float %d, %g: off by %g scales in the mean, sigma %g", i, v[i], off, sigma);
        z_sum += sigma > 1e-3 ? off / sigma : 0;
    }
    if (fabs(z_sum) > 5 * sqrt(COUNT))
        fail_msg("all together: off by %g sigma", z_sum / sqrt(COUNT));
    codec_fixture_close(&l);
    free(v);
    xfree(sum);
}

/* Whatever is remembered: all that was sent and what is left are all that was given. */
static void test_feedback(void **state)
{
    (void)state;
    enum { COUNT = 3001, MESSAGES = 50 };
    for (int f = 0; f < CODEC_COUNT; f++) {
        if (!codec_find(codec_fixture_names[f])->remembers)
            continue;
        double *given = xcalloc(COUNT, sizeof *given), *sent = xcalloc(COUNT, sizeof *sent),
               most = 0, lost = 0;
        struct codec_fixture l = codec_fixture_open(
            codec_fixture_names[f], (struct coder_options){.count = COUNT,
                                                           .own = &(struct sparse_options){0.03},
                                                           .seed = 5});
        const float *left = coder_left(l.coder);
        for (uint64_t m = 0; m < MESSAGES; m++) {
            float *v = codec_fixture_floats(COUNT, 100 + m);
            const float *back = codec_fixture_carry(&l, v);
            for (int i = 0; i < COUNT; i++) {
                given[i] += (double)v[i];
                sent[i] += (double)back[i];
                most = fmax(most, fmax(fabsf(v[i]), fmax(fabsf(left[i]), fabsf(back[i]))));
            }
            free(v);
        }
        for (int i = 0; i < COUNT; i++) {
            if (fabs(sent[i] + (double)left[i] - given[i]) > 2 * MESSAGES * most * 0x1p-24)
                fail_msg("%s, float %d: given %.9g, sent %.9g, left %.9g", codec_fixture_names[f],
                         i, given[i], sent[i], left[i]);
            lost = fmax(lost, fabsf(left[i]));
        }
        assert_true(lost > 1e-3); /* else nothing was tried */
        codec_fixture_close(&l);
        xfree(given);
        xfree(sent);
    }
}

struct candidate {
    uint32_t magnitude, index;
};

/* Greatest first; of equals the lowest index first. */
static int by_rank(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->magnitude != y->magnitude)
        return x->magnitude < y->magnitude ? 1 : -1;
    return x->index < y->index ? -1 : 1;
}

static int by_index(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return x->index < y->index ? -1 : 1;
}

static void expect_greatest(const float *v, int64_t count, double part)
{
    struct candidate *all = xcalloc((size_t)count, sizeof *all);
    for (int64_t i = 0; i < count; i++)
        all[i] = (struct candidate){codec_fixture_bits(v[i]) & 0x7fffffff, (uint32_t)i};
    struct codec_fixture l = codec_fixture_open(
        "topk", (struct coder_options){.count = count, .own = &(struct sparse_options){part}});
    codec_fixture_carry(&l, v);
    size_t kept = l.bytes / 8;
    qsort(all, (size_t)count, sizeof *all, by_rank);
    qsort(all, kept, sizeof *all, by_index);
    const uint32_t *index = (const uint32_t *)l.message;
    for (size_t i = 0; i < kept; i++)
        if (index[i] != all[i].index || index[kept + i] != codec_fixture_bits(v[index[i]]))
            fail_msg("%ld floats, place %zu of %zu: sent float %u, expected %u", (long)count, i,
                     kept, index[i], all[i].index);
    codec_fixture_close(&l);
    xfree(all);
}

static void test_topk_takes_the_greatest(void **state)
{
    (void)state;
    static const int64_t counts[] = {1, 2, 15, 16, 17, 511, 513, 20011};
    static const double parts[] = {0.001, 0.01, 0.3, 0.5, 0.99, 1};
    struct random r = random_at(RANDOM_TEST, 211, 0, 0, 0);
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
        for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
            float *v = codec_fixture_floats(counts[n], n);
            expect_greatest(v, counts[n], parts[p]);
            for (int64_t i = 0; i < counts[n];
                 i++) /* they differ in their last bits, and there are ties */
                v[i] = codec_fixture_float(0x3f800000 | (uint32_t)random_below(&r, 3000) |
                                           (uint32_t)random_below(&r, 2) << 31);
            expect_greatest(v, counts[n], parts[p]);
            for (int64_t i = 0; i < counts[n]; i++) /* any bits; few sizes; all of one size */
                v[i] = codec_fixture_float((uint32_t)random_bits(&r) | 0x400000),
                v[i] = v[i] == 0 ? 0 : v[i];
            expect_greatest(v, counts[n], parts[p]);
            for (int64_t i = 0; i < counts[n]; i++)
                v[i] = (float)random_below(&r, 3);
            expect_greatest(v, counts[n], parts[p]);
            for (int64_t i = 0; i < counts[n]; i++)
                v[i] = (float)(p % 2);
            expect_greatest(v, counts[n], parts[p]);
            free(v);
        }
}

/* The chi-square of counts that should all be the same; `spread`: the variance of a count over its
 * mean. */
static double chi_square(const int *hits, int cells, double spread)
{
    double mean = 0, sum = 0;
    for (int i = 0; i < cells; i++)
        mean += (double)hits[i] / cells;
    for (int i = 0; i < cells; i++)
        sum += (hits[i] - mean) * (hits[i] - mean) / (mean * spread);
    return sum;
}

/* All 56 sets of 3 of 8 come equally often; and each of 1000 floats when 30 are sent. */
static void test_randk_is_uniform(void **state)
{
    (void)state;
    enum { SETS = 256, MESSAGES = 56 * 200, COUNT = 1000 };
    static const float zeros[COUNT];
    int set[SETS] = {0}, hits[COUNT] = {0}, found[56], sets = 0;
    struct codec_fixture few = codec_fixture_open(
        "randk",
        (struct coder_options){.count = 8, .own = &(struct sparse_options){0.375}, .seed = 1});
    struct codec_fixture many = codec_fixture_open(
        "randk",
        (struct coder_options){.count = COUNT, .own = &(struct sparse_options){0.03}, .seed = 1});
    for (int m = 0; m < MESSAGES; m++) {
        uint32_t index[30];
        coder_pack(few.coder, few.message, zeros);
        memcpy(index, few.message, 12);
        set[1 << index[0] | 1 << index[1] | 1 << index[2]]++;
        coder_pack(many.coder, many.message, zeros);
        memcpy(index, many.message, sizeof index);
        for (int i = 0; i < 30; i++)
            hits[index[i]]++;
    }
    for (int i = 0; i < SETS; i++)
        if (set[i])
            assert_true(sets < 56 && __builtin_popcount((unsigned)i) == 3), found[sets++] = set[i];
    assert_int_equal(sets, 56);
    double of_sets = chi_square(found, 56, 1), of_floats = chi_square(hits, COUNT, 0.97);
    if (of_sets < 20 || of_sets > 110 || of_floats < 780 ||
        of_floats > 1220) /* 5 sigma around 55 (up) and 999 */
        fail_msg("chi-square of the sets %g (55 degrees of freedom), of the floats %g (999)",
                 of_sets, of_floats);
    codec_fixture_close(&few);
    codec_fixture_close(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_int8_is_unbiased),
        cmocka_unit_test(test_feedback),
        cmocka_unit_test(test_topk_takes_the_greatest),
        cmocka_unit_test(test_randk_is_uniform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
