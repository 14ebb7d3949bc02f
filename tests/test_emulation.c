/* Do the emulated tiles (tests/emulate_*.h) compute the bits that the instructions do? Asked where
 * this machine has them: so what the emulation shows elsewhere holds here, too.
 *
 * Numbers have all their bits, and sizes such that a sum in another order, or a denormal that is
 * kept, would be seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/amx.h"
#include "tests/avx512.h"

/* A build without oneDNN has none of them. */
#pragma weak tiles_at
#pragma weak emulated_avx512
#pragma weak emulated_avx512_bf16
#pragma weak emulated_amx_bf16

enum { ROWS = 37, DEPTH = 96, WIDTH = TILE_VECTORS * LANES, SHIFT = 16, MOST = ROWS * DEPTH };

/* What the exponents of the factors are, as bf16 has them: products that are sometimes denormal,
 * sums that are, and denormal factors whose products would not be. */
struct sizes {
    unsigned first, second, range;
};

static const struct sizes sizes[] = {{60, 60, 12}, {62, 62, 3}, {0, 190, 3}, {190, 0, 3}};

enum { SIZES = sizeof sizes / sizeof *sizes };

static void fill(uint16_t *to, int count, unsigned least, unsigned range)
{
    struct random r = random_at(RANDOM_TEST, least, (uint64_t)count, range, 0);
    for (int i = 0; i < count; i++)
        to[i] = (uint16_t)(random_below(&r, 2) << 15 | (least + random_below(&r, range)) << 7 |
                           random_below(&r, 128));
}

static const struct tiles *emulated(const char *name)
{
    const struct tiles *const all[] = {&emulated_avx512_bf16, &emulated_amx_bf16};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] && !strcmp(all[i]->name, name))
            return all[i];
    return NULL;
}

static void dot(const struct tiles *t, int rows, int vectors, int depth, const uint16_t *source,
                const float *weights, uint16_t *to)
{
    uint16_t packed[2 * DEPTH * WIDTH];
    const struct tap taps[] = {{0, 0}, {SHIFT, depth * vectors * LANES}};
    struct dot d = {.source = source,
                    .weights = packed,
                    .tap = taps,
                    .taps = 2,
                    .depth = depth,
                    .source_step = DEPTH,
                    .to_step = WIDTH,
                    .to = to};
    t->pack(weights, WIDTH, depth, vectors, packed);
    t->pack_transposed(weights, DEPTH, depth, vectors, packed + depth * vectors * LANES);
    t->dot(&d, rows, vectors);
}

static void compare_dot(const struct tiles *is, const struct tiles *should, const struct sizes *s)
{
    static uint16_t source[MOST + SHIFT], to[2][ROWS * WIDTH];
    static uint16_t rounded[WIDTH * DEPTH];
    static float weights[WIDTH * DEPTH];
    fill(source, MOST + SHIFT, s->first, s->range);
    fill(rounded, WIDTH * DEPTH, s->second, s->range);
    for (int i = 0; i < WIDTH * DEPTH; i++) {
        uint32_t bits = (uint32_t)rounded[i] << 16 | (uint32_t)i * 2654435761u >> 16;
        memcpy(&weights[i], &bits, sizeof bits);
    }
    for (int vectors = 1; vectors <= is->dot_size.vectors; vectors++)
        for (int rows = 1; rows <= tile_rows(&is->dot_size, vectors) && rows <= ROWS; rows += 4)
            for (int depth = 16; depth <= DEPTH - SHIFT; depth += 16) {
                memset(to, 0xff, sizeof to);
                dot(is, rows, vectors, depth, source, weights, to[0]);
                dot(should, rows, vectors, depth, source, weights, to[1]);
                if (memcmp(to[0], to[1], sizeof to[0]))
                    fail_msg("%s: %d rows, %d vectors, depth %d: not the bits of the unit",
                             is->name, rows, vectors, depth);
            }
}

/* Two groups of two rows of one chunk, packed; sums that are taken up again. */
static void outer(const struct tiles *t, int shape, const uint16_t *first, const uint16_t *second,
                  float *to)
{
    enum { PLACES = 16, LINES = 2 * 2 * PLACES };
    static uint16_t a[2][LINES * 2 * LANES] __attribute__((aligned(64))), b[2][LINES * 2 * LANES];
    for (int i = 0; i < LINES; i += PLACES) {
        struct pixel_pair place[PLACES];
        for (int k = 0; k < PLACES; k++) {
            const size_t at = (size_t)(i + k) * 2 * LANES;
            place[k] = (struct pixel_pair){k % 5 ? first + at : NULL, first + at + 2 * LANES};
            t->pack_place((struct pixel_pair){second + at, k % 3 ? second + at + 2 * LANES : NULL},
                          2 * LANES, b[0] + at, sizeof b[0]);
        }
        t->pack_places(place, 2 * LANES, a[0] + (size_t)i * 2 * LANES, sizeof a[0]);
    }
    struct outer_rows o = {.a = {(char *)a[0], shape & 1 ? (char *)a[1] : NULL},
                           .b = {(char *)b[0], shape & 2 ? (char *)b[1] : NULL},
                           .a_group = sizeof a[0] / 2,
                           .a_row = sizeof a[0] / 4,
                           .b_group = sizeof b[0] / 2,
                           .b_row = sizeof b[0] / 4,
                           .groups = 2,
                           .rows = 2,
                           .chunks = 1,
                           .to = to,
                           .to_step = 2 * LANES};
    t->claim();
    for (int again = 0; again < 2; again++, o.add = true)
        t->outer_rows(&o);
    t->release();
}

static void compare_outer(const struct tiles *is, const struct tiles *should, const struct sizes *s)
{
    enum { PLACES = 2 * 2 * 16, COUNT = PLACES * 2 * LANES + 4 * LANES };
    static uint16_t first[COUNT], second[COUNT];
    static float to[2][2 * LANES * 2 * LANES];
    fill(first, COUNT, s->first, s->range);
    fill(second, COUNT, s->second, s->range);
    for (int shape = 0; shape < 4; shape++) {
        memset(to, 0xff, sizeof to);
        outer(is, shape, first, second, to[0]);
        outer(should, shape, first, second, to[1]);
        if (memcmp(to[0], to[1], sizeof to[0]))
            fail_msg("%s: outer_rows %d: not the bits of the unit", is->name, shape);
    }
}

static void test_bits(void **state)
{
    (void)state;
    int compared = 0;
    for (int i = 0; tiles_at && tiles_at(i); i++) {
        const struct tiles *t = tiles_at(i), *e = emulated(t->name);
        if (!e || !t->able() || !e->able()) {
            printf("%s: %s\n", t->name, e ? "not on this machine" : "not emulated");
            continue;
        }
        for (int s = 0; s < SIZES; s++) {
            compare_dot(e, t, &sizes[s]);
            if (t->outer_rows)
                compare_outer(e, t, &sizes[s]);
        }
        compared++;
    }
    if (!compared)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),
    };
    return cmocka_run_group_tests_name("emulation", tests, NULL, NULL);
}
