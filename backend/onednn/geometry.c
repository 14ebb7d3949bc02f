/* Listed once when a convolution is opened: kernel^2 connections for each pixel of one image, less
 * those to the padding. */
#include "backend/onednn/geometry.h"

#include "base/alloc.h"

/* The pixel of x that `out` sees through a tap of the whole kernel, -1 in the padding. */
static int seen(const struct geometry *g, int out, int tap)
{
    int row = out / g->y.w * g->stride + tap / g->kernel - g->pad,
        column = out % g->y.w * g->stride + tap % g->kernel - g->pad;
    return row < 0 || row >= g->x.h || column < 0 || column >= g->x.w ? -1 : row * g->x.w + column;
}

void geometry_open(struct geometry *g, const struct unit_shape *s, const struct layout *x,
                   const struct layout *y)
{
    *g = (struct geometry){.kernel = s->kernel, .stride = s->stride, .pad = s->pad};
    g->x = (struct grid){x->n, x->h, x->w, x->c};
    g->y = (struct grid){y->n, y->h, y->w, y->c};
    if (s->kernel == 1 && s->stride == 1 && s->pad == 0) {
        g->x = (struct grid){x->n * x->h * x->w, 1, 1, x->c};
        g->y = (struct grid){g->x.rows, 1, 1, y->c};
    }
    int taps = s->kernel * s->kernel;
    g->tap = xcalloc((size_t)taps, sizeof *g->tap);
    g->connection = xcalloc((size_t)taps * (size_t)pixels(&g->y), sizeof *g->connection);
    for (int tap = 0; tap < taps; tap++) {
        int before = g->connections;
        for (int out = 0; out < pixels(&g->y); out++)
            if (seen(g, out, tap) >= 0)
                g->connection[g->connections++] =
                    (struct connection){g->active, out, seen(g, out, tap)};
        if (g->connections > before)
            g->tap[g->active++] = tap;
    }
}

void geometry_close(struct geometry *g)
{
    xfree(g->tap);
    xfree(g->connection);
}
