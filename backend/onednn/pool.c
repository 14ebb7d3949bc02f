/* In backward each pixel of x asks which pixels of y it went into. So every element of dx is
 * written once, by one thread, and its sum is rounded once. Cost: a pixel of x looks at up to
 * ceil(kernel / stride)^2 windows. */
#include "backend/onednn/pool.h"

#include <assert.h>

#include "backend/onednn/kernels.h"

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

void pool_forward(const struct pool *p, const struct unit_io *io)
{
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
