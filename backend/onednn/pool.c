/* In backward each pixel of x asks which pixels of y it went into. So every element of dx is
 * written once, by one thread, and its sum is rounded once. Cost: a pixel of x looks at up to
 * ceil(kernel / stride)^2 windows. */
#include "backend/onednn/pool.h"

#include <assert.h>

#include "backend/dropout.h"
#include "backend/onednn/kernels.h"
#include "backend/onednn/vector.h"

static void each_image(const struct pool *p, pool_kernel *kernel, const struct pooling *work)
{
#pragma omp parallel for num_threads(p->threads)
    for (int n = 0; n < p->shape->batch; n++)
        kernel(work, n);
}

static struct pooling work_of(const struct pool *p, const struct unit_io *io)
{
    const struct unit_shape *s = p->shape;
    return (struct pooling){.x = p->x,
                            .y = p->y,
                            .kernel = s->kernel,
                            .stride = s->stride,
                            .pad = s->pad,
                            .argmax = io->saved};
}

static const struct kernels *kernels_of(const struct pool *p)
{
    assert(p->x.bf16 == p->y.bf16);
    return kernels_for(p->y.bf16);
}

size_t pool_saved(const struct pool *p)
{
    return p->shape->kind == UNIT_MAX_POOL ? layout_elements(&p->y) : 0;
}

/* Image n of `from` (+ from2, NULL: none) times its mask. */
static void drop_image(const struct pool *p, const uint64_t *key, int n, const struct pooling *work)
{
    const struct unit_shape *s = p->shape;
    size_t count = layout_elements(&p->x) / (size_t)s->batch;
    bool from_bf16 = work->x.bf16;
    struct random mask = {0};
    float scale = dropout_scale(s->drop);
    if (key)
        mask = dropout_mask(s, *key, n);
    for (size_t i = 0; i < count; i += STRIP) {
        int lanes = count - i < STRIP ? (int)(count - i) : STRIP;
        size_t at = (size_t)n * count + i;
        vec v, other;
        vec_get(&v, work->from, at, lanes, from_bf16);
        if (work->from2) {
            vec_get(&other, work->from2, at, lanes, from_bf16);
            v += other;
        }
        for (int k = 0; k < lanes && key; k++)
            v[k] *= dropout_factor(s, &mask, i + (size_t)k, scale);
        vec_put(work->to, at, &v, lanes, work->y.bf16);
    }
}

/* Forward from x to y; backward the layouts have changed places. */
static void drop(const struct pool *p, const uint64_t *key, const struct pooling *work)
{
#pragma omp parallel for num_threads(p->threads)
    for (int n = 0; n < p->shape->batch; n++)
        drop_image(p, key, n, work);
}

void pool_forward(const struct pool *p, const struct unit_io *io, enum unit_mode mode)
{
    if (p->shape->kind == UNIT_DROPOUT) {
        const struct pooling work = {.x = p->x, .y = p->y, .from = io->x, .to = io->y};
        drop(p, mode == UNIT_TRAIN ? io->key : NULL, &work);
        return;
    }
    const struct kernels *k = kernels_of(p);
    struct pooling work = work_of(p, io);
    work.from = io->x;
    work.to = io->y;
    each_image(p,
               p->shape->kind == UNIT_MAX_POOL    ? k->max
               : p->shape->kind == UNIT_MEAN_POOL ? k->mean
                                                  : k->shortcut,
               &work);
}

void pool_backward(const struct pool *p, const struct unit_io *io)
{
    if (p->shape->kind == UNIT_DROPOUT) {
        const struct pooling work = {
            .x = p->y, .y = p->x, .from = io->dy, .from2 = io->dy2, .to = io->dx};
        drop(p, io->key, &work);
        return;
    }
    const struct kernels *k = kernels_of(p);
    struct pooling work = work_of(p, io);
    work.from = io->dy;
    work.from2 = io->dy2;
    work.to = io->dx;
    each_image(p,
               p->shape->kind == UNIT_MAX_POOL    ? k->max_back
               : p->shape->kind == UNIT_MEAN_POOL ? k->mean_back
                                                  : k->shortcut_back,
               &work);
}
