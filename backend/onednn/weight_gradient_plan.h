/* How the sums of a weight gradient are cut: what weight_gradient_plan.c decides when one is opened
 * and weight_gradient.c follows. */
#ifndef BACKEND_ONEDNN_WEIGHT_GRADIENT_PLAN_H
#define BACKEND_ONEDNN_WEIGHT_GRADIENT_PLAN_H

#include "backend/onednn/weight_gradient.h"

enum { ELEMENT = 4 }; /* bytes, of what is multiplied: bf16 lies in pairs there */

/* Sums go along the pixels of a row, or, where rows are short, along the images. So a unit of a
 * image of y is a row or a pixel. */
struct weight_gradient {
    const struct geometry *geometry;
    const struct tiles *tiles;
    struct grid x, y;
    int threads;
    int panel;       /* channels of x that a tile has at most */
    int a_line;      /* tiles in LANES channels of y */
    int *begin;      /* of each tile, a channel of y; then of none */
    bool in_scratch; /* a block's gradient is summed in scratch, its lines close together, and
                        copied in the end */
    int *run;  /* along rows: pixels of y, side by side, that each active tap sees in one; else NULL
                */
    int units; /* of an image */
    int *first; /* tap[first[i * units + u]] ..: where active tap i's sums begin in unit u */
    struct tap *tap;
    int repeats; /* so often are all of a tap's listed, one image after the other; 1: only those of
                    one */
    int block_panels, block_tiles; /* weights whose gradient is summed at a time */
    int at_once, some; /* images (bf16: pairs), and units of them, that all of a block's tiles visit
                          before the next */
    int x_pixels, y_pixels; /* at most, of an image, in so many units */
    bool *used;             /* does any tap see this pixel of x? */
    bool fetch;             /* large tensors: the next pixels are fetched while these are summed */
};

static inline size_t size_of(const struct weight_gradient *c)
{
    return c->tiles->bf16 ? 2 : 4;
}

static inline int tiles_of(const struct weight_gradient *c)
{
    return c->y.c / LANES * c->a_line;
}

/* Bytes of a part's copy in a thread's scratch: x's, then y's. */
size_t weight_gradient_x_bytes(const struct weight_gradient *c);
size_t weight_gradient_y_bytes(const struct weight_gradient *c);
size_t weight_gradient_thread_bytes(const struct weight_gradient *c); /* all scratch of a thread */

#endif
