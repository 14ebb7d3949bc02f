/* Execution: units in order, then back; gradients go where the chain says. All of a backend is
 * reached through its table. */
#include "tests/layer_harness.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"

enum { KEY = 77 };

static size_t image_floats(const struct trial *t)
{
    return (size_t)t->size.batch * t->size.c * t->size.h * t->size.w;
}

static struct unit_shape shape_of(const struct trial *t, const struct link *l)
{
    const struct size *z = &t->size;
    bool whole = l->kind == UNIT_MEAN_POOL || l->kind == UNIT_DENSE;
    struct unit_shape s = {.kind = l->kind,
                           .batch = z->batch,
                           .in_c = z->c,
                           .in_h = z->h,
                           .in_w = z->w,
                           .first = l->input == IMAGES};
    if (!s.first) {
        const struct unit_shape *from = &t->shape[l->input];
        s.in_c = from->out_c, s.in_h = from->out_h, s.in_w = from->out_w;
    }
    s.out_c = l->kind == UNIT_DENSE && !l->hidden ? CLASSES
              : l->channels                       ? l->channels * z->width
                                                  : s.in_c;
    int side = l->side ? l->side : 1;
    s.out_h = whole ? side : (s.in_h + 2 * l->pad - l->kernel) / l->stride + 1;
    s.out_w = whole ? side : (s.in_w + 2 * l->pad - l->kernel) / l->stride + 1;
    s.kernel = l->kernel, s.stride = l->stride, s.pad = l->pad;
    s.norm = l->norm, s.skip = l->skip != NONE, s.relu = l->relu;
    s.bias = l->bias, s.hidden = l->hidden, s.drop = l->drop, s.number = t->units;
    s.by_channel = l->by_channel, s.groups = l->groups;
    return s;
}

/* He's initialisation; gamma, beta and the bias are spread, so that a mix-up is seen. */
static void fill_weights(const struct trial *t, uint64_t seed, uint64_t key, float *w)
{
    struct random r = random_at(RANDOM_TEST, seed, 1, key, 0);
    for (int i = 0; i < t->units; i++) {
        const struct unit_shape *s = &t->shape[i];
        int64_t pixels = s->kind == UNIT_DENSE ? s->in_h * s->in_w : s->kernel * s->kernel,
                row = pixels * s->in_c, weights = row * s->out_c;
        for (int64_t k = 0; t->offset[i] + k < t->offset[i + 1]; k++) {
            bool of_group = s->kind == UNIT_GROUP_NORM && k < s->out_c;
            bool gamma =
                of_group || (s->norm && k >= unit_gamma_at(s) && k < unit_gamma_at(s) + s->out_c);
            double deviation = k < weights ? sqrt(2.0 / (double)row) : 0.3;
            w[t->offset[i] + k] =
                (float)(gamma ? 0.5 + random_uniform(&r) : deviation * random_normal(&r));
        }
    }
}

void trial_open(struct trial *t, const struct chain *chain, struct size size, uint64_t seed)
{
    *t = (struct trial){.chain = chain, .size = size};
    snprintf(t->name, sizeof t->name, "%s, width %d, images [%d %d %d %d], seed %llu", chain->name,
             size.width, size.batch, size.h, size.w, size.c, (unsigned long long)seed);
    bool last;
    do {
        const struct unit_shape *s = &t->shape[t->units];
        t->shape[t->units] = shape_of(t, &chain->link[t->units]);
        t->offset[t->units + 1] = t->offset[t->units] + unit_parameters(s);
        t->statistic[t->units + 1] = t->statistic[t->units] + (s->norm ? 2 * s->out_c : 0);
        last = s->kind == UNIT_DENSE && !s->hidden;
        t->units++;
    } while (!last);
    t->w = xcalloc((size_t)t->offset[t->units], sizeof(float));
    t->other_w = xcalloc((size_t)t->offset[t->units], sizeof(float));
    t->given = xcalloc((size_t)t->statistic[t->units], sizeof(float));
    t->images = xcalloc(image_floats(t), sizeof(float));
    t->labels = xcalloc((size_t)size.batch, sizeof *t->labels);
    fill_weights(t, seed, 0, t->w);
    fill_weights(t, seed, 1, t->other_w);
    struct random r = random_at(RANDOM_TEST, seed, 2, 0, 0);
    for (int i = 0; i < t->units; i++)
        for (int64_t k = t->statistic[i]; k < t->statistic[i + 1]; k++)
            t->given[k] =
                (float)(k < t->statistic[i] + t->shape[i].out_c ? 0.3 * random_normal(&r)
                                                                : 0.5 + random_uniform(&r));
    for (size_t i = 0; i < image_floats(t); i++)
        t->images[i] = (float)random_normal(&r);
    for (int i = 0; i < size.batch; i++)
        t->labels[i] = (int32_t)random_below(&r, CLASSES);
}

void trial_close(struct trial *t)
{
    void *blocks[] = {t->w, t->other_w, t->given, t->images, t->labels};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        xfree(blocks[i]);
}

void outcome_open(struct outcome *o, const struct trial *t)
{
    size_t logits = (size_t)t->size.batch * CLASSES;
    o->g = xcalloc((size_t)t->offset[t->units], sizeof(float));
    o->statistics = xcalloc((size_t)t->statistic[t->units], sizeof(float));
    o->counted_statistics = xcalloc((size_t)t->statistic[t->units], sizeof(float));
    o->logits = xcalloc(logits, sizeof(float));
    o->counted = xcalloc(logits, sizeof(float));
    o->inferred = xcalloc(logits, sizeof(float));
    o->dlogits = xcalloc(logits, sizeof(float));
}

void outcome_close(struct outcome *o)
{
    void *blocks[] = {o->g,        o->statistics, o->counted_statistics, o->logits, o->counted,
                      o->inferred, o->dlogits};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        xfree(blocks[i]);
}

static void put(struct harness *k, void *to, const void *from, size_t bytes)
{
    k->b->upload(k->d, to, from, bytes);
    k->b->finish(k->d);
}

static void get(struct harness *k, void *to, const void *from, size_t bytes)
{
    k->b->finish(k->d);
    if (!k->b->device) {
        memcpy(to, from, bytes);
        return;
    }
    k->b->device->download(k->d, to, from, bytes);
    k->b->finish(k->d);
}

static void *upload(struct harness *k, const void *from, size_t bytes)
{
    void *to = k->b->alloc(k->d, bytes);
    put(k, to, from, bytes);
    return to;
}

static size_t parameter_bytes(const struct harness *k)
{
    return (size_t)k->t->offset[k->t->units] * sizeof(float);
}

static size_t statistic_bytes(const struct harness *k)
{
    return (size_t)k->t->statistic[k->t->units] * sizeof(float);
}

void harness_open(struct harness *k, const struct trial *t, const struct backend *b,
                  const struct device_options *options)
{
    *k = (struct harness){.t = t, .b = b, .d = b->open(options)};
    for (int i = 0; i < t->units; i++) {
        const struct link *l = &t->chain->link[i];
        const struct unit *x_from = l->input >= 0 ? k->unit[l->input] : NULL,
                          *skip_from = l->skip >= 0 ? k->unit[l->skip] : NULL;
        k->unit[i] = b->unit_open(k->d, &t->shape[i], x_from, skip_from, &k->sizes[i]);
        k->y[i] = b->alloc(k->d, k->sizes[i].y_bytes);
        if (k->sizes[i].saved_bytes)
            k->saved[i] = b->alloc(k->d, k->sizes[i].saved_bytes);
        if (x_from)
            k->dx[i] = b->alloc(k->d, k->sizes[l->input].y_bytes);
        if (skip_from)
            k->dskip[i] = b->alloc(k->d, k->sizes[l->skip].y_bytes);
    }
    k->w_here = xcalloc(parameter_bytes(k), 1);
    k->w = b->alloc(k->d, parameter_bytes(k));
    k->g = b->alloc(k->d, parameter_bytes(k));
    k->statistics = b->alloc(k->d, statistic_bytes(k));
    k->loss = b->alloc(k->d, sizeof *k->loss);
    k->images = upload(k, t->images, image_floats(t) * sizeof(float));
    if (b->device) {
        void *floats = k->images;
        k->images = b->alloc(k->d, k->sizes[0].x_bytes);
        b->device->load_batch(k->unit[0], NULL, floats, k->images);
        b->finish(k->d);
        b->free(k->d, floats);
    }
    const uint64_t key = KEY;
    k->key = upload(k, &key, sizeof key);
    k->labels = upload(k, t->labels, (size_t)t->size.batch * sizeof *t->labels);
    k->dlogits = b->alloc(k->d, k->sizes[t->units - 1].y_bytes);
}

void harness_close(struct harness *k)
{
    for (int i = k->t->units - 1; i >= 0; i--) {
        void *blocks[] = {k->y[i], k->saved[i], k->dx[i], k->dskip[i]};
        for (size_t n = 0; n < sizeof blocks / sizeof *blocks; n++)
            k->b->free(k->d, blocks[n]);
        k->b->unit_close(k->unit[i]);
    }
    void *blocks[] = {k->images, k->key, k->labels, k->dlogits, k->w, k->g, k->statistics, k->loss};
    for (size_t n = 0; n < sizeof blocks / sizeof *blocks; n++)
        k->b->free(k->d, blocks[n]);
    xfree(k->w_here);
    k->b->close(k->d);
}

/* Bytes of ones: a NaN in float32 and in bf16, an index that is out of any range. */
static void poison(struct harness *k, void *to, size_t bytes)
{
    if (!to || !bytes)
        return;
    void *ones = xcalloc(bytes, 1);
    memset(ones, 0xff, bytes);
    put(k, to, ones, bytes);
    xfree(ones);
}

static void poison_all(struct harness *k)
{
    for (int i = 0; i < k->t->units; i++) {
        const struct link *l = &k->t->chain->link[i];
        poison(k, k->y[i], k->sizes[i].y_bytes);
        poison(k, k->saved[i], k->sizes[i].saved_bytes);
        poison(k, k->dx[i], l->input >= 0 ? k->sizes[l->input].y_bytes : 0);
        poison(k, k->dskip[i], l->skip >= 0 ? k->sizes[l->skip].y_bytes : 0);
    }
    poison(k, k->dlogits, k->sizes[k->t->units - 1].y_bytes);
}

/* The gradients of y that its readers wrote: none for the logits, one, or two. */
static void find_gradients(const struct harness *k, int unit, struct unit_io *io)
{
    const void *found[2] = {NULL, NULL};
    int count = 0;
    for (int i = unit + 1; i < k->t->units; i++) {
        const struct link *l = &k->t->chain->link[i];
        if (l->input == unit)
            found[count++] = k->dx[i];
        if (l->skip == unit)
            found[count++] = k->dskip[i];
    }
    io->dy = count ? found[0] : k->dlogits;
    io->dy2 = found[1];
}

static struct unit_io io_of(const struct harness *k, int i, uint64_t weights_version,
                            bool statistics)
{
    const struct link *l = &k->t->chain->link[i];
    struct unit_io io = {.w = k->w + k->t->offset[i],
                         .weights_version = weights_version,
                         .y = k->y[i],
                         .saved = k->saved[i],
                         .key = k->key};
    io.x = l->input >= 0 ? k->y[l->input] : k->images;
    io.skip = l->skip >= 0 ? k->y[l->skip] : NULL;
    if (k->t->shape[i].norm && statistics) {
        io.mean = k->statistics + k->t->statistic[i];
        io.variance = io.mean + k->t->shape[i].out_c;
    }
    return io;
}

/* Cuts floats to bf16, to the nearest, ties to even. */
static void round_to_bf16(float *v, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &v[i], sizeof bits);
        bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
        memcpy(&v[i], &bits, sizeof bits);
    }
}

static void use_weights(struct harness *k, const float *w)
{
    size_t count = (size_t)k->t->offset[k->t->units];
    memcpy(k->w_here, w, count * sizeof *w);
    if (k->rounds)
        round_to_bf16(k->w_here, count);
    put(k, k->w, k->w_here, count * sizeof *w);
}

/* statistics: of all norms, given to inference, got from training; NULL: not wanted. */
static void harness_forward(struct harness *k, uint64_t weights_version, enum unit_mode mode,
                            bool save, float *statistics, float *logits)
{
    int last = k->t->units - 1;
    poison_all(k);
    if (statistics)
        put(k, k->statistics, statistics, statistic_bytes(k));
    for (int i = 0; i <= last; i++) {
        struct unit_io io = io_of(k, i, weights_version, statistics);
        if (!save)
            io.saved = NULL;
        k->b->forward(k->unit[i], &io, mode);
        if (k->rounds && i < last)
            round_to_bf16(k->y[i], k->sizes[i].y_bytes / sizeof(float));
    }
    get(k, logits, k->y[last], (size_t)k->t->size.batch * CLASSES * sizeof *logits);
    if (statistics && mode == UNIT_TRAIN)
        get(k, statistics, k->statistics, statistic_bytes(k));
}

static void harness_backward(struct harness *k, uint64_t weights_version, struct outcome *o)
{
    int last = k->t->units - 1, batch = k->t->size.batch;
    poison(k, k->g, parameter_bytes(k));
    k->b->loss(k->d, k->y[last], k->labels, batch, CLASSES, 0.1f, k->dlogits, k->loss);
    for (int i = last; i >= 0; i--) {
        const struct link *l = &k->t->chain->link[i];
        struct unit_io io = io_of(k, i, weights_version, false);
        find_gradients(k, i, &io);
        io.g = k->g + k->t->offset[i];
        io.dx = k->dx[i];
        io.dskip = k->dskip[i];
        k->b->backward(k->unit[i], &io);
        if (k->rounds && io.dx)
            round_to_bf16(io.dx, k->sizes[l->input].y_bytes / sizeof(float));
        if (k->rounds && io.dskip)
            round_to_bf16(io.dskip, k->sizes[l->skip].y_bytes / sizeof(float));
    }
    get(k, o->dlogits, k->dlogits, (size_t)batch * CLASSES * sizeof *o->dlogits);
    get(k, o->g, k->g, parameter_bytes(k));
    get(k, &o->loss, k->loss, sizeof o->loss);
}

void harness_once(struct harness *k, uint64_t weights_version, struct outcome *o)
{
    const struct trial *t = k->t;
    size_t statistics = (size_t)t->statistic[t->units] * sizeof(float);
    memset(o->statistics, 0xff, statistics);
    memset(o->counted_statistics, 0xff, statistics);
    use_weights(k, t->w);
    harness_forward(k, weights_version, UNIT_TRAIN, true, o->statistics, o->logits);
    harness_backward(k, weights_version, o);
    harness_forward(k, weights_version, UNIT_INFER, false, t->given, o->inferred);
    harness_forward(k, weights_version, UNIT_TRAIN, false, o->counted_statistics, o->counted);
}

void harness_again(struct harness *k, bool weights_versions, struct outcome *o)
{
    use_weights(k, k->t->other_w);
    harness_forward(k, weights_versions ? 1 : 0, UNIT_TRAIN, true, NULL, o->logits);
    harness_backward(k, weights_versions ? 1 : 0, o);
    harness_once(k, weights_versions ? 2 : 0, o);
}

/* Of a ReLU: its unit is opened once more without its ReLU; an exact 0 (a dead input) is 0
 * everywhere. */
static double relu_margin(const struct harness *k, int i)
{
    const struct link *l = &k->t->chain->link[i];
    struct unit_shape s = k->t->shape[i];
    struct unit_sizes sizes;
    s.relu = false;
    struct unit *u = k->b->unit_open(k->d, &s, l->input >= 0 ? k->unit[l->input] : NULL,
                                     l->skip >= 0 ? k->unit[l->skip] : NULL, &sizes);
    struct unit_io io = io_of(k, i, 0, false);
    float *y = io.y = k->b->alloc(k->d, sizes.y_bytes);
    io.saved = NULL;
    k->b->forward(u, &io, UNIT_TRAIN);
    size_t count = sizes.y_bytes / sizeof(float);
    double least = INFINITY, squares = 0;
    for (size_t n = 0; n < count; n++) {
        squares += (double)y[n] * (double)y[n];
        if (y[n] != 0)
            least = fmin(least, fabs(y[n]));
    }
    k->b->free(k->d, y);
    k->b->unit_close(u);
    return squares > 0 ? least / sqrt(squares / (double)count) : INFINITY;
}

/* Of a max pool: how far the second of a window is from the first; equal ones are equal
 * everywhere. */
static double pool_margin(const struct harness *k, int i)
{
    const struct unit_shape *s = &k->t->shape[i];
    const float *x = k->y[k->t->chain->link[i].input], *y = k->y[i];
    double least = INFINITY, squares = 0;
    size_t outputs = k->sizes[i].y_bytes / sizeof(float);
    for (size_t at = 0; at < outputs; at++) {
        int c = (int)(at % s->out_c), ox = (int)(at / s->out_c % s->out_w),
            row = (int)(at / s->out_c / s->out_w);
        int b = row / s->out_h, oy = row % s->out_h;
        squares += (double)y[at] * (double)y[at];
        for (int tap = 0; tap < s->kernel * s->kernel; tap++) {
            int iy = oy * s->stride + tap / s->kernel - s->pad,
                ix = ox * s->stride + tap % s->kernel - s->pad;
            if (iy < 0 || iy >= s->in_h || ix < 0 || ix >= s->in_w)
                continue;
            double gap = (double)y[at] -
                         (double)x[(((size_t)b * s->in_h + iy) * s->in_w + ix) * s->in_c + c];
            if (gap != 0)
                least = fmin(least, gap);
        }
    }
    return squares > 0 ? least / sqrt(squares / (double)outputs) : INFINITY;
}

double harness_margin(const struct trial *t, const struct backend *b)
{
    struct device_options options = {.threads = 2, .dtype = DTYPE_F32, .quiet = true};
    struct harness k;
    harness_open(&k, t, b, &options);
    use_weights(&k, t->w);
    double margin = INFINITY;
    for (int i = 0; i < t->units; i++) {
        struct unit_io io = io_of(&k, i, 0, false);
        b->forward(k.unit[i], &io, UNIT_TRAIN);
        if (t->shape[i].relu)
            margin = fmin(margin, relu_margin(&k, i));
        if (t->shape[i].kind == UNIT_MAX_POOL)
            margin = fmin(margin, pool_margin(&k, i));
    }
    harness_close(&k);
    return margin;
}
