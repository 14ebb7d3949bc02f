/* How an activation lies in memory: channels-last, [n][h][w][c], float32 or bf16.
 *
 * A strip is up to 16 neighbouring channels of one pixel, one vector. */
#ifndef BACKEND_ONEDNN_LAYOUT_H
#define BACKEND_ONEDNN_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>

enum { STRIP = 16 }; /* channels that one vector holds */

struct layout {
    int n, c, h, w;
    bool bf16;
};

static inline size_t layout_elements(const struct layout *l)
{
    return (size_t)l->n * (size_t)l->c * (size_t)l->h * (size_t)l->w;
}

static inline size_t layout_bytes(const struct layout *l)
{
    return layout_elements(l) * (l->bf16 ? 2 : 4);
}

/* The element (n, c, pixel), pixel = row * w + column. */
static inline size_t layout_at(const struct layout *l, int n, int c, int pixel)
{
    return ((size_t)n * (size_t)(l->h * l->w) + (size_t)pixel) * (size_t)l->c + (size_t)c;
}

static inline int layout_lanes(const struct layout *l, int c)
{
    return l->c - c < STRIP ? l->c - c : STRIP;
}

#endif
