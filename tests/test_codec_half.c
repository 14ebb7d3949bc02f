/* The codecs of two bytes a float, bf16 and f16: each rounds to the nearest half, ties to even. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/codec_fixture.h"

/* The nearest half to a float that is no NaN, by comparing distances in double: `shift` bits are
 * cut, `half` gives a half's value. */
static uint16_t nearest(float f, uint16_t low, double (*half)(uint16_t))
{
    double to_below = fabs((double)f - half(low)),
           to_above = fabs(half((uint16_t)(low + 1)) - (double)f);
    return (uint16_t)(to_below < to_above || (to_below == to_above && low % 2 == 0) ? low
                                                                                    : low + 1);
}

/* The value; what follows the greatest is 2^128 here, infinite only in name. */
static double brain_value(uint16_t half)
{
    return (half & 0x7fff) == 0x7f80 ? (half >> 15 ? -0x1p128 : 0x1p128)
                                     : (double)codec_fixture_float((uint32_t)half << 16);
}

/* And here 2^16. */
static double half_value(uint16_t half)
{
    int exponent = half >> 10 & 31, fraction = half & 1023;
    double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return half >> 15 ? -size : size;
}

static void test_bf16(void **state)
{
    (void)state;
    static const uint32_t tails[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x1234};
    enum { TAILS = sizeof tails / sizeof *tails, COUNT = TAILS << 16 };
    float *from = xcalloc(COUNT, sizeof *from);
    for (uint32_t i = 0; i < COUNT; i++)
        from[i] = codec_fixture_float(i / TAILS << 16 | tails[i % TAILS]);
    struct codec_fixture l = codec_fixture_open("bf16", (struct coder_options){.count = COUNT});
    const float *back = codec_fixture_carry(&l, from);
    const uint16_t *halves = (const uint16_t *)l.message;
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t bits = i / TAILS << 16 | tails[i % TAILS], got = (uint32_t)halves[i] << 16;
        uint16_t want = isinf(from[i])   ? (uint16_t)(bits >> 16)
                        : isnan(from[i]) ? 0
                                         : nearest(from[i], (uint16_t)(bits >> 16), brain_value);
        bool right = isnan(from[i]) ? isnan(codec_fixture_float(got)) && (got ^ bits) >> 31 == 0
                                    : halves[i] == want;
        if (!right || memcmp(&back[i], &got, sizeof got))
            fail_msg("float 0x%08x became half 0x%04x and then 0x%08x", bits, halves[i],
                     codec_fixture_bits(back[i]));
    }
    codec_fixture_close(&l);
    xfree(from);
}

/* Each half, and floats around it: itself, its neighbours, and around the middle to the next
 * half. */
static void test_f16(void **state)
{
    (void)state;
    enum { AROUND = 6, COUNT = AROUND * 2 * 0x7c00 };
    float *from = xcalloc(COUNT, sizeof *from);
    uint16_t *want = xcalloc(COUNT, sizeof *want);
    int count = 0;
    for (int sign = 0; sign <= 0x8000; sign += 0x8000)
        for (int h = 0; h < 0x7c00; h++) {
            uint16_t low = (uint16_t)(sign | h);
            float here = (float)half_value(low),
                  middle = (float)((half_value(low) + half_value((uint16_t)(low + 1))) / 2);
            float further = (float)half_value((uint16_t)(low + 1));
            const float around[AROUND] = {
                here,   nextafterf(here, further),   nextafterf(middle, here),
                middle, nextafterf(middle, further), nextafterf(further, here)};
            for (int i = 0; i < AROUND; i++, count++)
                from[count] = around[i], want[count] = nearest(around[i], low, half_value);
        }
    struct codec_fixture l = codec_fixture_open("f16", (struct coder_options){.count = COUNT});
    const float *back = codec_fixture_carry(&l, from);
    const uint16_t *halves = (const uint16_t *)l.message;
    for (int i = 0; i < COUNT; i++) {
        double value =
            (want[i] & 0x7fff) == 0x7c00 ? copysign(INFINITY, from[i]) : half_value(want[i]);
        if (halves[i] != want[i] || (double)back[i] != value ||
            signbit(back[i]) != signbit(from[i]))
            fail_msg("float %.9g became half 0x%04x and then %.9g; it should be 0x%04x", from[i],
                     halves[i], back[i], want[i]);
    }
    codec_fixture_close(&l);
    xfree(from);
    xfree(want);
}

/* Known from the standard's definition, not from any code. */
static void test_f16_table(void **state)
{
    (void)state;
    static const struct {
        float from;
        uint16_t half;
    } table[] = {{0, 0},
                 {-0.0f, 0x8000},
                 {1, 0x3c00},
                 {-2, 0xc000},
                 {0x1.554p-2f, 0x3555}, /* 0.333251953125 */
                 {65504, 0x7bff},
                 {65519.996f, 0x7bff},
                 {65520, 0x7c00},
                 {-65520, 0xfc00},
                 {FLT_MAX, 0x7c00},
                 {INFINITY, 0x7c00},
                 {-INFINITY, 0xfc00},
                 {0x1p-14f, 0x0400},        /* the least normal */
                 {0x1.ff8p-15f, 0x03ff},    /* the greatest subnormal */
                 {0x1.ffcp-15f, 0x0400},    /* half-way between: to even */
                 {0x1p-24f, 0x0001},        /* the least */
                 {0x1p-25f, 0x0000},        /* half of it: to even */
                 {0x1.000002p-25f, 0x0001}, /* a little more */
                 {-0x1.8p-24f, 0x8002},     /* half-way between 1 and 2: to even */
                 {0x1.4p-23f, 0x0002},      /* half-way between 2 and 3: to even */
                 {0x1p-126f, 0x0000},
                 {-0x1p-149f, 0x8000},
                 {0x1.002p0f, 0x3c00}, /* half-way: to even */
                 {0x1.006p0f, 0x3c02}, /* half-way: to even, up */
                 {0x1.002002p0f, 0x3c01}};
    enum { COUNT = sizeof table / sizeof *table };
    float from[COUNT];
    for (int i = 0; i < COUNT; i++)
        from[i] = table[i].from;
    struct codec_fixture l = codec_fixture_open("f16", (struct coder_options){.count = COUNT});
    codec_fixture_carry(&l, from);
    for (int i = 0; i < COUNT; i++)
        if (((uint16_t *)l.message)[i] != table[i].half)
            fail_msg("%a became 0x%04x, not 0x%04x", from[i], ((uint16_t *)l.message)[i],
                     table[i].half);
    codec_fixture_close(&l);
    static const uint32_t nans[] = {0x7fc00000, 0xffc00000, 0x7f800001,
                                    0xff801000, 0x7fffffff, 0x7fa02000};
    static const uint16_t halves[] = {0x7e00, 0xfe00, 0x7e00, 0xfe00, 0x7fff, 0x7f01};
    l = codec_fixture_open("f16", (struct coder_options){.count = 6});
    for (int i = 0; i < 6; i++)
        from[i] = codec_fixture_float(nans[i]);
    const float *back = codec_fixture_carry(&l, from);
    assert_memory_equal(l.message, halves, sizeof halves);
    for (int i = 0; i < 6; i++)
        assert_true(isnan(back[i]) && !signbit(back[i]) == !signbit(from[i]));
    codec_fixture_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_f16),
        cmocka_unit_test(test_f16_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
