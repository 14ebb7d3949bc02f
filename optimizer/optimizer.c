/* What all update rules have in common: state, weight decay and its exceptions, sums of several
 * gradients, and the device that may hold it all. The rules are in their own files (kinds.h). */
#include "optimizer/optimizer.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/journal.h"
#include "base/squares.h"
#include "optimizer/layerwise.h"

struct optimizer {
    struct optimizer_options options;
    const struct rule *rule;
    int64_t count, steps;
    float *state[3], *accumulated; /* NULL until something is */
    float *gradient;      /* of a step; NULL until one is summed before its norms are known */
    struct layer *layers; /* [layer_count] of a layer-wise rule; NULL else */
    int layer_count;
    double (*norm)(void *self, const struct squares *slice); /* optimizer_on_norm()'s */
    void *norm_self;
    struct range *no_decay; /* indices of the slice, clipped to it; the last begins after all */
    int no_decay_count;
    const struct device_optimizer_kind *device_kind;
    struct device_optimizer *device; /* NULL: all is in the host's memory */
    float *home;                     /* else the copy of the weights */
};

static float *vector_new(const struct optimizer *o)
{
    return allocator_take(&o->options.allocator, (size_t)o->count, sizeof(float));
}

static bool forwards(const struct optimizer *o)
{
    return journal_forwards(o->options.journal);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Keeps what lies in the slice, neighbours joined, and a range after all as the end. */
static void set_no_decay(struct optimizer *o, struct range slice, const struct range *no_decay,
                         int count)
{
    o->no_decay = xcalloc((size_t)count + 1, sizeof *o->no_decay);
    for (int i = 0; i < count; i++) {
        assert(no_decay[i].from <= no_decay[i].to &&
               (!i || no_decay[i - 1].to <= no_decay[i].from));
        struct range r = {no_decay[i].from - slice.from,
                          least(no_decay[i].to - slice.from, o->count)};
        if (r.from < 0)
            r.from = 0;
        if (r.from >= r.to)
            continue;
        if (o->no_decay_count && o->no_decay[o->no_decay_count - 1].to == r.from)
            o->no_decay[o->no_decay_count - 1].to = r.to;
        else
            o->no_decay[o->no_decay_count++] = r;
    }
    o->no_decay[o->no_decay_count] = (struct range){INT64_MAX, INT64_MAX};
}

/* Layers in a no_decay range do not adapt. */
static void set_layers(struct optimizer *o, struct range slice, const struct range *no_decay,
                       int no_decay_count)
{
    const struct range all = {0, o->count};
    const struct range *layers = o->options.layers ? o->options.layers : &all;
    int count = o->options.layers ? o->options.layer_count : 1, next = 0;
    assert(slice.from == 0 && layers[count - 1].to == o->count && "a layer must not be cut");
    o->layers = xcalloc((size_t)count, sizeof *o->layers);
    o->layer_count = count;
    for (int i = 0; i < count; i++) {
        while (next < no_decay_count && no_decay[next].to <= layers[i].from)
            next++;
        bool adapts = next == no_decay_count || layers[i].from < no_decay[next].from;
        o->layers[i] = (struct layer){layers[i], adapts};
    }
}

struct optimizer *optimizer_open(const struct optimizer_options *options, struct range slice,
                                 const struct range *no_decay, int no_decay_count)
{
    assert(slice.from >= 0 && slice.from <= slice.to && no_decay_count >= 0);
    const struct rule *rule = rule_find(options->rule);
    if (!(options->decay >= 0 && options->decay <= FLT_MAX))
        fatal("--weight-decay %g: give a number from 0 up", options->decay);
    if (rule->check)
        rule->check(options);
    struct optimizer *o = xcalloc(1, sizeof *o);
    o->options = *options;
    o->options.rule = rule->name;
    o->rule = rule->stateless && options->momentum == 0 ? rule->stateless : rule;
    assert(o->rule->passes >= 3 + 2 * o->rule->states);
    o->count = slice.to - slice.from;
    for (int i = 0; i < o->rule->states; i++)
        o->state[i] = vector_new(o);
    set_no_decay(o, slice, no_decay, options->decay > 0 ? no_decay_count : 0);
    if (rule->measure)
        set_layers(o, slice, no_decay, no_decay_count);
    o->options.layers = NULL; /* copied */
    return o;
}

void optimizer_close(struct optimizer *o)
{
    if (!o)
        return;
    if (o->device)
        o->device_kind->close(o->device);
    float *vectors[] = {o->state[0], o->state[1], o->state[2], o->accumulated, o->gradient};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        allocator_give_back(&o->options.allocator, vectors[i]);
    xfree(o->layers);
    xfree(o->no_decay);
    xfree(o);
}

void optimizer_state(struct optimizer *o, state_visitor *visit, void *self)
{
    static const char *const names[] = {"m", "v", "a"};
    assert(!o->device);
    for (int i = 0; i < o->rule->states; i++)
        visit(self, names[i], STATE_F32, o->state[i], o->count);
    if (o->accumulated)
        visit(self, "accumulated", STATE_F32, o->accumulated, o->count);
    visit(self, "steps", STATE_I64, &o->steps, 1);
}

static void clear(void *self, const char *name, enum state_type type, void *memory, int64_t count)
{
    (void)self, (void)name;
    memset(memory, 0, (size_t)count * state_size(type));
}

void optimizer_forget(struct optimizer *o)
{
    optimizer_state(o, clear, NULL);
}

int64_t optimizer_state_bytes(const struct optimizer *o)
{
    return o->rule->states * o->count * (int64_t)sizeof(float);
}

int64_t optimizer_count(const struct optimizer *o)
{
    return o->count;
}

int optimizer_passes(const struct optimizer *o, int sources)
{
    return o->rule->passes + sources - 1 + (optimizer_clips(o) ? 2 : 0);
}

/* The numbers of the step under way: c[1] where weights decay, c[0] where they do not. */
static void coefficients(const struct optimizer *o, double lr, struct step_coefficients c[2])
{
    assert(isfinite(lr));
    const struct optimizer_options *q = &o->options;
    double bias = 1, root = 1;
    if (o->rule->correct)
        o->rule->correct(q, o->steps, &bias, &root);
    c[0] = (struct step_coefficients){
        .lr = (float)(lr * root / bias),
        .momentum = (float)q->momentum,
        .keep = 1,
        .beta1 = (float)q->beta1,
        .fresh1 = (float)(1 - q->beta1),
        .beta2 = (float)q->beta2,
        .fresh2 = (float)(1 - q->beta2),
        .epsilon = (float)(q->epsilon * root),
    };
    if (q->accum_iter) {
        c[0].part = (float)(1.0 / (double)q->accum_iter);
        c[0].advances = o->steps % q->accum_iter == 0;
    }
    c[1] = c[0];
    if (o->rule->decoupled)
        c[1].keep = (float)(1 - lr * q->decay);
    else
        c[1].decay = (float)q->decay;
}

static void next_coefficients(struct optimizer *o, double lr, struct step_coefficients c[2])
{
    o->steps++;
    coefficients(o, lr, c);
}

/* The first no_decay range that does not end before `at`. */
static const struct range *no_decay_from(const struct optimizer *o, int64_t at)
{
    int low = 0, high = o->no_decay_count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (o->no_decay[middle].to <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return &o->no_decay[low];
}

static float *from_float(float *vector, int64_t at)
{
    return vector ? vector + at : NULL;
}

/* Steps on floats `at` of the slice, decaying and no_decay ranges in turn; w is the whole slice, g
 * begins at `at`. */
static void update(const struct optimizer *o, const struct step_coefficients c[2], float *w,
                   const float *g, struct range at)
{
    const struct range *no_decay = no_decay_from(o, at.from);
    for (int64_t from = at.from, to; from < at.to; from = to) {
        bool decays = from < no_decay->from;
        to = least(at.to, decays ? no_decay->from : no_decay->to);
        float *m = from_float(o->state[0], from), *v = from_float(o->state[1], from),
              *a = from_float(o->state[2], from);
        o->rule->kernel(&c[decays], w + from, g + (from - at.from), m, v, a, to - from);
        if (!decays)
            no_decay++;
    }
}

void optimizer_on_norm(struct optimizer *o, double (*norm)(void *self, const struct squares *slice),
                       void *self)
{
    o->norm = norm;
    o->norm_self = self;
}

bool optimizer_clips(const struct optimizer *o)
{
    return o->options.clip > 0;
}

/* to = the sum over these floats of it; its squares are added to *squares. */
static void sum_squares(float *to, const float *const *source, const double *scale, int sources,
                        struct range part, struct squares *squares)
{
    struct squares own = {.bad = 0};
    for (struct range at = {part.from, part.from}; at.from < part.to; at.from = at.to) {
        at.to = least(at.from + VECTOR_CHUNK, part.to);
        vector_sum_chunk(to + at.from, source, scale, sources, at);
        squares_add(&own, to + at.from, at.to - at.from, 1);
    }
    squares_join(squares, &own);
}

void optimizer_step(struct optimizer *o, float *w, const float *g, double lr)
{
    struct step_coefficients c[2];
    if (o->device || optimizer_clips(o) || o->layers) {
        optimizer_step_sum(o, w, NULL, &g, (const double[]){1}, 1, lr);
        return;
    }
    next_coefficients(o, lr, c);
    if (!forwards(o))
        EACH_RANGE(o->count, o->options.threads, update(o, c, w, g + at.from, at));
}

/* Puts the sum into `to` when that is not NULL, and steps with it when o is not NULL, chunk by
 * chunk. */
static void sum_part(const struct optimizer *o, const struct step_coefficients *c, float *w,
                     float *to, const float *const *source, const double *scale, int sources,
                     struct range part)
{
    _Alignas(64) float sum[VECTOR_CHUNK];
    for (struct range at = {part.from, part.from}; at.from < part.to; at.from = at.to) {
        at.to = least(at.from + VECTOR_CHUNK, part.to);
        vector_sum_chunk(sum, source, scale, sources, at);
        if (o)
            update(o, c, w, sum, at);
        if (to)
            memcpy(to + at.from, sum, (size_t)(at.to - at.from) * sizeof *to);
    }
}

/* The sum of the sources as one vector; where the step is clipped its squares are added. */
static const float *sum_first(struct optimizer *o, const float *const *source, const double *scale,
                              int sources, struct squares *squares)
{
    int threads = o->options.threads;
    bool clips = optimizer_clips(o), is_sum = sources == 1 && scale[0] == 1;
    const float *sum = is_sum ? source[0] : o->gradient;
    if (forwards(o))
        return sum;
    if (is_sum && clips)
        squares_add(squares, sum, o->count, threads);
    else if (!is_sum && !clips)
        vector_sum(o->gradient, source, scale, sources, o->count, threads);
    else if (!is_sum)
        EACH_RANGE(o->count, threads,
                   sum_squares(o->gradient, source, scale, sources, at, squares));
    return sum;
}

/* What a gradient with these squares is multiplied by. */
static double clip(struct optimizer *o, struct squares *squares)
{
    if (!optimizer_clips(o))
        return 1;
    journal_words(o->options.journal, squares, sizeof *squares / sizeof(uint64_t));
    return squares_clip(o->norm ? o->norm(o->norm_self, squares) : squares_norm(squares),
                        o->options.clip);
}

/* Layer by layer, with this multiple of the gradient. */
static void step_layers(struct optimizer *o, const struct step_coefficients c[2], float *w,
                        const float *gradient, double factor, double lr)
{
    struct layerwise_step s = {.rule = o->rule,
                               .options = &o->options,
                               .lr = lr,
                               .c = {c[0], c[1]},
                               .w = w,
                               .state = {o->state[0], o->state[1]},
                               .g = gradient};
    coefficients(o, 1, s.unit);
    s.unit[1].decay = (float)o->options.decay;
    if (factor != 1) {
        vector_sum(o->gradient, &gradient, &factor, 1, o->count, o->options.threads);
        s.g = o->gradient;
    }
    for (int i = 0; i < o->layer_count; i++)
        layerwise_step(&s, o->layers[i]);
}

void optimizer_step_sum(struct optimizer *o, float *w, float *g, const float *const *source,
                        const double *scale, int sources, double lr)
{
    struct step_coefficients c[2];
    next_coefficients(o, lr, c);
    if (o->device) {
        assert(w == o->home && !g);
        o->device_kind->step(o->device, c, source, scale, sources);
        return;
    }
    const float *sum = NULL;
    double factor = 1;
    if (optimizer_clips(o) || o->layers) {
        struct squares squares = {.bad = 0};
        if (!o->gradient)
            o->gradient = vector_new(o);
        sum = sum_first(o, source, scale, sources, &squares);
        factor = clip(o, &squares);
        source = &sum;
        scale = &factor;
        sources = 1;
    }
    if (forwards(o))
        return;
    if (!o->layers) {
        EACH_RANGE(o->count, o->options.threads, sum_part(o, c, w, g, source, scale, sources, at));
        return;
    }
    if (g)
        vector_sum(g, source, scale, sources, o->count, o->options.threads);
    step_layers(o, c, w, sum, factor, lr);
}

void optimizer_sum(struct optimizer *o, float *w, const float *const *source, const double *scale,
                   int sources)
{
    if (o->device) {
        assert(w == o->home);
        o->device_kind->sum(o->device, source, scale, sources);
    } else if (!forwards(o)) {
        vector_sum(w, source, scale, sources, o->count, o->options.threads);
    }
}

void optimizer_accumulator(struct optimizer *o)
{
    if (!o->device && !o->accumulated)
        o->accumulated = vector_new(o);
}

void optimizer_accumulate(struct optimizer *o, const float *source)
{
    if (o->device) {
        o->device_kind->accumulate(o->device, source);
        return;
    }
    optimizer_accumulator(o);
    if (!forwards(o))
        vector_add(o->accumulated, source, o->count, o->options.threads);
}

void optimizer_step_accumulated(struct optimizer *o, float *w, double scale, double lr)
{
    struct step_coefficients c[2];
    if (o->device) {
        assert(w == o->home);
        next_coefficients(o, lr, c);
        o->device_kind->step_accumulated(o->device, c, scale);
        return;
    }
    optimizer_step_sum(o, w, NULL, (const float *const[]){o->accumulated}, &scale,
                       o->accumulated ? 1 : 0, lr);
    if (o->accumulated && !forwards(o))
        memset(o->accumulated, 0, (size_t)o->count * sizeof *o->accumulated);
}

void optimizer_offload(struct optimizer *o, const struct device_optimizer_kind *kind, float *w,
                       int sources, int number)
{
    assert(!o->steps && !o->accumulated && !o->device &&
           (!kind || optimizer_fits_device(o->rule->name)));
    if (!kind)
        return;
    o->device_kind = kind;
    o->home = w;
    o->device = kind->open(&(struct device_optimizer_options){.rule = o->rule->step,
                                                              .states = o->rule->states,
                                                              .count = o->count,
                                                              .no_decay = o->no_decay,
                                                              .no_decay_count = o->no_decay_count,
                                                              .w = w,
                                                              .sources = sources,
                                                              .number = number});
    for (int i = 0; i < o->rule->states; i++) {
        allocator_give_back(&o->options.allocator, o->state[i]);
        o->state[i] = NULL;
    }
}

bool optimizer_is_offloaded(const struct optimizer *o)
{
    return o->device;
}

void optimizer_register_memory(struct optimizer *o, const void *block, size_t bytes)
{
    if (o->device)
        o->device_kind->register_memory(o->device, block, bytes);
}

void optimizer_prefetch(struct optimizer *o, const float *source)
{
    if (o->device)
        o->device_kind->prefetch(o->device, source);
}

void optimizer_discard(struct optimizer *o, const float *source)
{
    if (o->device)
        o->device_kind->discard(o->device, source);
}
