/* AMX's tiles of bf16, row by row as Intel's Software Developer's Manual defines them (volume 2,
 * LDTILECFG, TILELOADD, TDPBF16PS), for machines that lack them: included after emulate_avx512.h
 * and before a source that is written for them. What the unit would refuse ends the program. */
#ifndef TESTS_EMULATE_AMX_H
#define TESTS_EMULATE_AMX_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/emulate_avx512.h"

enum { EMULATED_TILES = 8, EMULATED_ROWS = 16, EMULATED_ROW_BYTES = 64 };

/* LDTILECFG's 64 bytes. */
struct emulated_configuration {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[EMULATED_ROWS];
    uint8_t rows[EMULATED_ROWS];
};

/* A thread's registers. */
static _Thread_local struct {
    struct emulated_configuration shape;
    union emulated row[EMULATED_TILES][EMULATED_ROWS];
} emulated_amx;

EMULATED void emulated_demand(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "emulated AMX: %s\n", what);
        abort();
    }
}

EMULATED void emulated_release(void)
{
    memset(&emulated_amx, 0, sizeof emulated_amx);
}

EMULATED void emulated_loadconfig(const void *from)
{
    struct emulated_configuration *shape = &emulated_amx.shape;
    emulated_release();
    memcpy(shape, from, sizeof *shape);
    emulated_demand(shape->palette == 1 && !shape->start_row, "another palette or start");
    for (int i = 0; i < EMULATED_ROWS; i++) {
        int used = shape->rows[i] && shape->row_bytes[i];
        emulated_demand(used ? i < EMULATED_TILES : !shape->rows[i] && !shape->row_bytes[i],
                        "a tile without rows or columns, or one that is not there");
        emulated_demand(shape->rows[i] <= EMULATED_ROWS &&
                            shape->row_bytes[i] <= EMULATED_ROW_BYTES,
                        "a tile that is too large");
    }
}

EMULATED void emulated_is_there(int tile)
{
    emulated_demand(emulated_amx.shape.rows[tile], "a tile that is not configured");
}

EMULATED void emulated_zero(int tile)
{
    emulated_is_there(tile);
    memset(emulated_amx.row[tile], 0, sizeof emulated_amx.row[tile]);
}

EMULATED void emulated_loadd(int tile, const void *from, size_t step)
{
    emulated_zero(tile);
    for (size_t i = 0; i < emulated_amx.shape.rows[tile]; i++)
        memcpy(&emulated_amx.row[tile][i], (const char *)from + i * step,
               emulated_amx.shape.row_bytes[tile]);
}

EMULATED void emulated_stored(int tile, void *to, size_t step)
{
    emulated_is_there(tile);
    for (size_t i = 0; i < emulated_amx.shape.rows[tile]; i++)
        memcpy((char *)to + i * step, &emulated_amx.row[tile][i],
               emulated_amx.shape.row_bytes[tile]);
}

/* sum += a b without denormals, of the lower or the upper halves of words. */
EMULATED void emulated_add_products(union emulated *sum, uint32_t a, const union emulated *b,
                                    int upper)
{
    union emulated x, y;
    for (int half = 0; half < 2; half++) {
        x.half[half] = (emulated_half){0} + (upper ? a & 0xffff0000 : a << 16);
        y.half[half] = upper ? b->half[half] & 0xffff0000 : b->half[half] << 16;
    }
    emulated_flush(&x);
    emulated_flush(&y);
    sum->ps = emulated_fmadd_ps(x.ps, y.ps, sum->ps);
    emulated_flush(sum);
}

/* Of pairs the first products have a sum and the second ones have another, which are added to the
 * tile's in the end. */
EMULATED void emulated_dpbf16ps(int to, int a, int b)
{
    const struct emulated_configuration *shape = &emulated_amx.shape;
    emulated_demand(to != a && to != b && a != b, "a tile used twice");
    emulated_is_there(to);
    emulated_demand(shape->rows[to] == shape->rows[a] &&
                        shape->row_bytes[to] == shape->row_bytes[b] &&
                        shape->row_bytes[a] == 4 * shape->rows[b],
                    "shapes that do not multiply");
    for (int i = 0; i < shape->rows[to]; i++) {
        union emulated first = {.f32 = {0}}, second = {.f32 = {0}}, *sum = &emulated_amx.row[to][i];
        for (int k = 0; k < shape->rows[b]; k++) {
            const union emulated *line = &emulated_amx.row[b][k];
            emulated_add_products(&first, emulated_amx.row[a][i].u32[k], line, 0);
            emulated_add_products(&second, emulated_amx.row[a][i].u32[k], line, 1);
        }
        for (int k = 0; k < EMULATED_WORDS; k++)
            first.f32[k] += second.f32[k];
        emulated_flush(&first);
        emulated_flush(sum);
        for (int k = 0; k < EMULATED_WORDS; k++)
            sum->f32[k] += first.f32[k];
        emulated_flush(sum);
    }
}

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#define _tile_loadconfig emulated_loadconfig
#define _tile_release emulated_release
#define _tile_zero emulated_zero
#define _tile_loadd emulated_loadd
#define _tile_stored emulated_stored
#define _tile_dpbf16ps emulated_dpbf16ps
#define syscall(...) 0 /* the registers are granted */

#endif
