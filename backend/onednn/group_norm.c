#include "backend/onednn/group_norm.h"

#include <omp.h>

#include "backend/group_norm.h"
#include "backend/onednn/vector.h"

enum { COPIES = 6, ALIGN = 64 }; /* of an image: x, skip or y, dy, dy2, dx, dskip */

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static size_t image_floats(const struct group_norm *n)
{
    return layout_elements(&n->y) / (size_t)n->y.n;
}

static bool converts(const struct group_norm *n)
{
    return n->x.bf16 || n->y.bf16;
}

/* Scratch: the sums of all images; then for each thread its room and its copies. */
static size_t sums_bytes(const struct group_norm *n)
{
    return aligned((size_t)n->y.n * group_norm_sums(n->shape) * sizeof(double));
}

static size_t thread_bytes(const struct group_norm *n)
{
    size_t copies = converts(n) ? COPIES * aligned(image_floats(n) * sizeof(float)) : 0;
    return aligned(group_norm_room(n->shape)) + copies;
}

size_t group_norm_scratch(const struct group_norm *n)
{
    return sums_bytes(n) + (size_t)n->threads * thread_bytes(n);
}

size_t group_norm_saved_bytes(const struct group_norm *n)
{
    return (size_t)n->y.n * group_norm_saved(n->shape) * sizeof(float);
}

/* A thread's part of the scratch in one call. */
struct desk {
    char *room;
    float *copy;
};

static struct desk desk_of(const struct group_norm *n, void *scratch)
{
    char *room = (char *)scratch + sums_bytes(n) + (size_t)omp_get_thread_num() * thread_bytes(n);
    return (struct desk){room, (float *)(void *)(room + aligned(group_norm_room(n->shape)))};
}

static void convert(size_t count, const void *from, size_t from_at, bool from_bf16, void *to,
                    size_t to_at, bool to_bf16)
{
    for (size_t i = 0; i < count; i += STRIP) {
        int lanes = count - i < STRIP ? (int)(count - i) : STRIP;
        vec v;
        vec_get(&v, from, from_at + i, lanes, from_bf16);
        vec_put(to, to_at + i, &v, lanes, to_bf16);
    }
}

static float *copy_of(const struct group_norm *n, const struct desk *d, int which)
{
    return d->copy + (size_t)which * aligned(image_floats(n) * sizeof(float)) / sizeof(float);
}

/* Image `image` of a tensor in float32: where it lies, or a copy. */
static const float *in(const struct group_norm *n, const struct desk *d, int which,
                       const void *tensor, bool bf16, int image)
{
    size_t count = image_floats(n), at = (size_t)image * count;
    if (!tensor || !bf16)
        return tensor ? (const float *)tensor + at : NULL;
    convert(count, tensor, at, true, copy_of(n, d, which), 0, false);
    return copy_of(n, d, which);
}

/* Where to write it; out() takes it home. */
static float *room_for(const struct group_norm *n, const struct desk *d, int which, void *tensor,
                       bool bf16, int image)
{
    if (!tensor || bf16)
        return tensor ? copy_of(n, d, which) : NULL;
    return (float *)tensor + (size_t)image * image_floats(n);
}

static void out(const struct group_norm *n, const float *from, void *tensor, bool bf16, int image)
{
    size_t count = image_floats(n);
    if (tensor && bf16)
        convert(count, from, 0, false, tensor, (size_t)image * count, true);
}

void group_norm_run(const struct group_norm *n, const struct unit_io *io, void *scratch)
{
    const struct unit_shape *s = n->shape;
#pragma omp parallel for num_threads(n->threads)
    for (int i = 0; i < s->batch; i++) {
        const struct desk d = desk_of(n, scratch);
        float *saved = io->saved ? (float *)io->saved + (size_t)i * group_norm_saved(s) : NULL;
        float *y = room_for(n, &d, 2, io->y, n->y.bf16, i);
        group_norm_forward(s, io->w, in(n, &d, 0, io->x, n->x.bf16, i),
                           in(n, &d, 1, s->skip ? io->skip : NULL, n->y.bf16, i), y, saved, d.room);
        out(n, y, io->y, n->y.bf16, i);
    }
}

void group_norm_run_back(const struct group_norm *n, const struct unit_io *io, void *scratch)
{
    const struct unit_shape *s = n->shape;
    bool bf16 = n->y.bf16;
#pragma omp parallel for num_threads(n->threads)
    for (int i = 0; i < s->batch; i++) {
        const struct desk d = desk_of(n, scratch);
        const struct group_norm_gradient of = {
            .x = in(n, &d, 0, io->x, n->x.bf16, i),
            .y = in(n, &d, 1, io->y, bf16, i),
            .dy = in(n, &d, 2, io->dy, bf16, i),
            .dy2 = in(n, &d, 3, io->dy2, bf16, i),
            .dx = room_for(n, &d, 4, io->dx, n->x.bf16, i),
            .dskip = room_for(n, &d, 5, s->skip ? io->dskip : NULL, bf16, i),
            .saved = (const float *)io->saved + (size_t)i * group_norm_saved(s),
            .sums = (double *)scratch + (size_t)i * group_norm_sums(s)};
        group_norm_backward(s, io->w, &of, d.room);
        out(n, of.dx, io->dx, n->x.bf16, i);
        out(n, of.dskip, io->dskip, bf16, i);
    }
    group_norm_finish(s, scratch, 0, s->out_c, io->g);
}
