/* Which pixels of x a convolution's outputs see, and through which tap of the kernel; padding is
 * left out.
 *
 * Rows are images. Where the kernel is 1x1 and skips nothing, rows are pixels: images of one pixel,
 * that many more of them. */
#ifndef BACKEND_ONEDNN_GEOMETRY_H
#define BACKEND_ONEDNN_GEOMETRY_H

#include "backend/backend.h"
#include "backend/onednn/layout.h"
#include "backend/onednn/tile.h"

/* A tensor: [rows][h][w][c]. */
struct grid {
    int rows, h, w, c;
};

/* Pixel `out` of y sees pixel `in` of x through active tap number `tap`. */
struct connection {
    int tap, out, in;
};

struct geometry {
    struct grid x, y;
    int kernel, stride, pad;
    int active, *tap; /* taps, of kernel x kernel, that see anything from somewhere */
    int connections;
    struct connection *connection; /* by tap, then by out */
};

void geometry_open(struct geometry *g, const struct unit_shape *s, const struct layout *x,
                   const struct layout *y);
void geometry_close(struct geometry *g);

static inline int pixels(const struct grid *g)
{
    return g->h * g->w;
}

static inline int divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

static inline int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Of a panel `wide` vectors wide, the last of which may be narrower. */
static inline int panel_vectors(int channels, int panel, int wide)
{
    return smaller(channels / LANES - panel * wide, wide);
}

#endif
