/* Update rules, schedules and vector work.
 *
 * Law: each float is computed alone and in one order of operations, that of PyTorch's kernels (without their fused multiply-adds),
 * so a result depends neither on the threads nor on how the vector is cut. Cost of a step in floats read and written a weight:
 * plain SGD 2 + 1, momentum and Adagrad 3 + 2, Adam 4 + 3, in one pass. */
#include "optimizer.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/wide.h"

/* We never look at errno: told so, the compiler vectorises the root. */
float sqrtf(float) __attribute__((const));

enum {
    LINE = 16,      /* floats in a cache line: where threads part */
    CHUNK = 1024,   /* floats summed at a time: a page of each source, so that the next page is fetched while this one is added */
    GRAIN = 1 << 15 /* floats that are worth a thread */
};

typedef void kernel(const struct pace *p, float *w, const float *g, float *m, float *v, int64_t count);

#define KERNEL(name) WIDE(name, (const struct pace *p, float *w, const float *g, float *m, float *v, int64_t count), (p, w, g, m, v, count))

struct rule;

struct optimizer {
    struct optimizer_options options;
    const struct rule *rule;
    int64_t count, steps;
    float *state[2], *kept; /* kept: NULL until something is */
    struct range *spared;   /* indices of the slice, clipped to it; the last begins behind all */
    int spared_count;
    const struct holder_kind *kind; /* of the holder */
    struct holder *holder;          /* NULL: all is here; else the weights' copy is home */
    float *home;
};

WIDE_LOOP plain_loop(const struct pace *p, float *restrict w, const float *restrict g, float *restrict m, float *restrict v, int64_t count)
{
    (void)m, (void)v;
    const float rate = p->rate, decay = p->decay;
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        w[i] -= rate * (g[i] + decay * w[i]);
}

KERNEL(plain)

WIDE_LOOP sgd_loop(const struct pace *p, float *restrict w, const float *restrict g, float *restrict m, float *restrict v, int64_t count)
{
    (void)v;
    const float rate = p->rate, momentum = p->momentum, decay = p->decay;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        m[i] = momentum * m[i] + (g[i] + decay * w[i]);
        w[i] -= rate * m[i];
    }
}

KERNEL(sgd)

WIDE_LOOP nesterov_loop(const struct pace *p, float *restrict w, const float *restrict g, float *restrict m, float *restrict v,
                        int64_t count)
{
    (void)v;
    const float rate = p->rate, momentum = p->momentum, decay = p->decay;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float d = g[i] + decay * w[i];
        m[i] = momentum * m[i] + d;
        w[i] -= rate * (d + momentum * m[i]);
    }
}

KERNEL(nesterov)

WIDE_LOOP adam_loop(const struct pace *p, float *restrict w, const float *restrict g, float *restrict m, float *restrict v, int64_t count)
{
    const struct pace q = *p;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float d = g[i] + q.decay * w[i];
        m[i] = q.beta1 * m[i] + q.fresh1 * d;
        v[i] = q.beta2 * v[i] + q.fresh2 * d * d;
        w[i] = q.keep * w[i] - q.rate * m[i] / (sqrtf(v[i]) + q.epsilon);
    }
}

KERNEL(adam)

WIDE_LOOP adagrad_loop(const struct pace *p, float *restrict w, const float *restrict g, float *restrict m, float *restrict v,
                       int64_t count)
{
    (void)v;
    const float rate = p->rate, decay = p->decay, epsilon = p->epsilon;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float d = g[i] + decay * w[i];
        m[i] += d * d;
        w[i] -= rate * d / (sqrtf(m[i]) + epsilon);
    }
}

KERNEL(adagrad)

/* X(name, kernel, the same elsewhere, vectors of state, weight decay apart from the gradient) */
#define RULES(X)                                                                                                                           \
    X(sgd, sgd, STEP_SGD, 1, false)                                                                                                        \
    X(nesterov, nesterov, STEP_NESTEROV, 1, false)                                                                                         \
    X(adam, adam, STEP_ADAM, 2, false)                                                                                                     \
    X(adamw, adam, STEP_ADAM, 2, true)                                                                                                     \
    X(adagrad, adagrad, STEP_ADAGRAD, 1, false)

static const struct rule {
    const char *name;
    kernel *kernel;
    enum step_rule step;
    int states;
    bool apart;
} rules[] = {
#define X(name, kernel, step, states, apart) {#name, kernel, step, states, apart},
    RULES(X)
#undef X
};

/* SGD and Nesterov when there is no momentum: nothing to remember. */
static const struct rule memoryless = {"sgd", plain, STEP_PLAIN, 0, false};

const char *optimizer_rules(void)
{
#define X(name, kernel, step, states, apart) "|" #name
    return &RULES(X)[1];
#undef X
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int parts_of(int64_t count, int threads)
{
    assert(threads >= 1);
    int64_t worth = count / GRAIN;
    return worth < threads ? (worth > 1 ? (int)worth : 1) : threads;
}

/* Part `part` of `parts` of [0, count); parts meet at cache lines. */
static struct range part_of(int64_t count, int part, int parts)
{
    int64_t lines = (count + LINE - 1) / LINE;
    return (struct range){least(count, lines * part / parts * LINE), least(count, lines * (part + 1) / parts * LINE)};
}

/* Does the work for each range `at` of [0, count), each on a thread of its own. A single one is done right here: even for a team of one
 * OpenMP takes memory and asks the kernel, which is longer than a short vector takes. */
#define IN_PARTS(count, threads, work)                                                                                                     \
    do {                                                                                                                                   \
        int parts = parts_of(count, threads);                                                                                              \
        if (parts == 1) {                                                                                                                  \
            struct range at = {0, count};                                                                                                  \
            work;                                                                                                                          \
            break;                                                                                                                         \
        }                                                                                                                                  \
        _Pragma("omp parallel for num_threads(parts)") for (int part = 0; part < parts; part++)                                            \
        {                                                                                                                                  \
            struct range at = part_of(count, part, parts);                                                                                 \
            work;                                                                                                                          \
        }                                                                                                                                  \
    } while (0)

static void check_options(const struct optimizer_options *o, const struct rule *rule)
{
    if (!(o->momentum >= 0 && o->momentum < 1))
        fatal("--momentum %g: give a number from 0 to below 1", o->momentum);
    if (!(o->decay >= 0 && o->decay <= FLT_MAX))
        fatal("--decay %g: give a number from 0 up", o->decay);
    if (!(o->beta1 >= 0 && o->beta1 < 1 && o->beta2 >= 0 && o->beta2 < 1))
        fatal("--beta1 %g --beta2 %g: give numbers from 0 to below 1", o->beta1, o->beta2);
    if ((rule->kernel == adam || rule->kernel == adagrad) && !(o->epsilon >= FLT_MIN && o->epsilon <= FLT_MAX))
        fatal("--epsilon %g: give a number from %g up", o->epsilon, FLT_MIN);
}

static const struct rule *find_rule(const char *name)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!strcmp(rules[i].name, name))
            return &rules[i];
    fatal("--optimizer: unknown rule '%s'; known are %s", name, optimizer_rules());
}

/* Keeps what lies in the slice, neighbours joined, and a range behind all as the end. */
static void spare(struct optimizer *o, struct range slice, const struct range *spared, int count)
{
    o->spared = obtain((size_t)count + 1, sizeof *o->spared);
    for (int i = 0; i < count; i++) {
        assert(spared[i].from <= spared[i].to && (!i || spared[i - 1].to <= spared[i].from));
        struct range r = {spared[i].from - slice.from, least(spared[i].to - slice.from, o->count)};
        if (r.from < 0)
            r.from = 0;
        if (r.from >= r.to)
            continue;
        if (o->spared_count && o->spared[o->spared_count - 1].to == r.from)
            o->spared[o->spared_count - 1].to = r.to;
        else
            o->spared[o->spared_count++] = r;
    }
    o->spared[o->spared_count] = (struct range){INT64_MAX, INT64_MAX};
}

struct optimizer *optimizer_open(const struct optimizer_options *options, struct range slice, const struct range *spared, int spared_count)
{
    assert(slice.from >= 0 && slice.from <= slice.to && spared_count >= 0);
    const struct rule *rule = find_rule(options->rule);
    check_options(options, rule);
    struct optimizer *o = obtain(1, sizeof *o);
    o->options = *options;
    o->options.rule = rule->name;
    o->rule = (rule->kernel == sgd || rule->kernel == nesterov) && options->momentum == 0 ? &memoryless : rule;
    o->count = slice.to - slice.from;
    for (int i = 0; i < o->rule->states; i++)
        o->state[i] = obtain((size_t)o->count, sizeof(float));
    spare(o, slice, spared, options->decay > 0 ? spared_count : 0);
    return o;
}

void optimizer_close(struct optimizer *o)
{
    if (!o)
        return;
    if (o->holder)
        o->kind->close(o->holder);
    release(o->state[0]);
    release(o->state[1]);
    release(o->kept);
    release(o->spared);
    release(o);
}

int64_t optimizer_state_bytes(const struct optimizer *o)
{
    return o->rule->states * o->count * (int64_t)sizeof(float);
}

/* The next step's numbers: pace[1] where weights decay, pace[0] where they are spared. Adam's corrections of the bias go into rate and
 * epsilon (Kingma and Ba, end of section 2), which saves a division a weight. */
static void next_pace(struct optimizer *o, double rate, struct pace pace[2])
{
    assert(isfinite(rate));
    const struct optimizer_options *q = &o->options;
    double steps = (double)++o->steps, bias = 1, root = 1;
    if (o->rule->kernel == adam) {
        bias = 1 - pow(q->beta1, steps);
        root = sqrt(1 - pow(q->beta2, steps));
    }
    pace[0] = (struct pace){
        .rate = (float)(rate * root / bias),
        .momentum = (float)q->momentum,
        .keep = 1,
        .beta1 = (float)q->beta1,
        .fresh1 = (float)(1 - q->beta1),
        .beta2 = (float)q->beta2,
        .fresh2 = (float)(1 - q->beta2),
        .epsilon = (float)(q->epsilon * root),
    };
    pace[1] = pace[0];
    if (o->rule->apart)
        pace[1].keep = (float)(1 - rate * q->decay);
    else
        pace[1].decay = (float)q->decay;
}

/* The first spared range that does not end before `at`. */
static const struct range *spared_from(const struct optimizer *o, int64_t at)
{
    int low = 0, high = o->spared_count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (o->spared[middle].to <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return &o->spared[low];
}

/* Steps on floats `at` of the slice, kept and spared ranges in turn; w is the whole slice, g begins at `at`. */
static void update(const struct optimizer *o, const struct pace pace[2], float *w, const float *g, struct range at)
{
    const struct range *spared = spared_from(o, at.from);
    for (int64_t from = at.from, to; from < at.to; from = to) {
        bool decays = from < spared->from;
        to = least(at.to, decays ? spared->from : spared->to);
        float *m = o->state[0] ? o->state[0] + from : NULL, *v = o->state[1] ? o->state[1] + from : NULL;
        o->rule->kernel(&pace[decays], w + from, g + (from - at.from), m, v, to - from);
        if (!decays)
            spared++;
    }
}

void optimizer_step(struct optimizer *o, float *w, const float *g, double rate)
{
    struct pace pace[2];
    if (o->holder) {
        optimizer_step_sum(o, w, NULL, &g, (const double[]){1}, 1, rate);
        return;
    }
    next_pace(o, rate, pace);
    IN_PARTS(o->count, o->options.threads, update(o, pace, w, g + at.from, at));
}

WIDE_LOOP scale_to_loop(float *restrict to, const float *restrict from, float scale, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        to[i] = scale * from[i];
}

WIDE(scale_to, (float *to, const float *from, float scale, int64_t count), (to, from, scale, count))

WIDE_LOOP add_scaled_loop(float *restrict to, const float *restrict from, float scale, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        to[i] += scale * from[i];
}

WIDE(add_scaled, (float *to, const float *from, float scale, int64_t count), (to, from, scale, count))

/* Floats `at` (no more than CHUNK) of the weighted sum. */
static void sum_chunk(float *sum, const float *const *source, const double *scale, int sources, struct range at)
{
    int64_t count = at.to - at.from;
    if (!sources)
        memset(sum, 0, (size_t)count * sizeof *sum);
    for (int i = 0; i < sources; i++)
        (i ? add_scaled : scale_to)(sum, source[i] + at.from, (float)scale[i], count);
}

/* Puts the sum into `to` when that is not NULL, and steps with it when o is not NULL, chunk by chunk. */
static void sum_part(const struct optimizer *o, const struct pace *pace, float *w, float *to, const float *const *source,
                     const double *scale, int sources, struct range part)
{
    _Alignas(64) float sum[CHUNK];
    for (struct range at = {part.from, part.from}; at.from < part.to; at.from = at.to) {
        at.to = least(at.from + CHUNK, part.to);
        sum_chunk(sum, source, scale, sources, at);
        if (o)
            update(o, pace, w, sum, at);
        if (to)
            memcpy(to + at.from, sum, (size_t)(at.to - at.from) * sizeof *to);
    }
}

void optimizer_step_sum(struct optimizer *o, float *w, float *g, const float *const *source, const double *scale, int sources, double rate)
{
    struct pace pace[2];
    next_pace(o, rate, pace);
    if (o->holder) {
        assert(w == o->home && !g);
        o->kind->step(o->holder, pace, source, scale, sources);
        return;
    }
    IN_PARTS(o->count, o->options.threads, sum_part(o, pace, w, g, source, scale, sources, at));
}

void vector_sum(float *to, const float *const *source, const double *scale, int sources, int64_t count, int threads)
{
    IN_PARTS(count, threads, sum_part(NULL, NULL, NULL, to, source, scale, sources, at));
}

void vector_add(float *to, const float *from, int64_t count, int threads)
{
    IN_PARTS(count, threads, add_scaled(to + at.from, from + at.from, 1, at.to - at.from));
}

void vector_copy(float *to, const float *from, int64_t count, int threads)
{
    IN_PARTS(count, threads, memcpy(to + at.from, from + at.from, (size_t)(at.to - at.from) * sizeof *to));
}

WIDE_LOOP find_bad_loop(const float *v, int64_t count, int *found)
{
    int bad = 0;
#pragma omp simd reduction(| : bad)
    for (int64_t i = 0; i < count; i++)
        bad |= !(fabsf(v[i]) <= FLT_MAX);
    *found |= bad;
}

WIDE(find_bad, (const float *v, int64_t count, int *found), (v, count, found))

bool vector_finite(const float *v, int64_t count, int threads)
{
    int parts = parts_of(count, threads);
    int bad = 0;
#pragma omp parallel for num_threads(parts) if (parts > 1) reduction(| : bad)
    for (int part = 0; part < parts; part++) {
        struct range at = part_of(count, part, parts);
        find_bad(v + at.from, at.to - at.from, &bad);
    }
    return !bad;
}

void optimizer_sum(struct optimizer *o, float *w, const float *const *source, const double *scale, int sources)
{
    if (o->holder) {
        assert(w == o->home);
        o->kind->sum(o->holder, source, scale, sources);
    } else {
        vector_sum(w, source, scale, sources, o->count, o->options.threads);
    }
}

void optimizer_keep(struct optimizer *o, const float *source)
{
    if (o->holder) {
        o->kind->keep(o->holder, source);
        return;
    }
    if (!o->kept)
        o->kept = obtain((size_t)o->count, sizeof *o->kept);
    vector_add(o->kept, source, o->count, o->options.threads);
}

void optimizer_step_kept(struct optimizer *o, float *w, double scale, double rate)
{
    struct pace pace[2];
    if (o->holder) {
        assert(w == o->home);
        next_pace(o, rate, pace);
        o->kind->step_kept(o->holder, pace, scale);
        return;
    }
    optimizer_step_sum(o, w, NULL, (const float *const[]){o->kept}, &scale, o->kept ? 1 : 0, rate);
    if (o->kept)
        memset(o->kept, 0, (size_t)o->count * sizeof *o->kept);
}

void optimizer_move(struct optimizer *o, const struct holder_kind *kind, float *w, int sources, int number)
{
    assert(!o->steps && !o->kept && !o->holder);
    if (!kind)
        return;
    o->kind = kind;
    o->home = w;
    o->holder = kind->open(&(struct holder_options){.rule = o->rule->step,
                                                    .states = o->rule->states,
                                                    .count = o->count,
                                                    .spared = o->spared,
                                                    .spared_count = o->spared_count,
                                                    .w = w,
                                                    .sources = sources,
                                                    .number = number});
    for (int i = 0; i < o->rule->states; i++) {
        release(o->state[i]);
        o->state[i] = NULL;
    }
}

bool optimizer_is_away(const struct optimizer *o)
{
    return o->holder;
}

void optimizer_share(struct optimizer *o, const void *block, size_t bytes)
{
    if (o->holder)
        o->kind->share(o->holder, block, bytes);
}

void optimizer_bring(struct optimizer *o, const float *source)
{
    if (o->holder)
        o->kind->bring(o->holder, source);
}

void optimizer_forget(struct optimizer *o, const float *source)
{
    if (o->holder)
        o->kind->forget(o->holder, source);
}

static double constant(const struct schedule *s, double part, double done)
{
    (void)s, (void)part, (void)done;
    return 1;
}

static double step(const struct schedule *s, double part, double done)
{
    (void)part;
    double factor = 1;
    for (int i = 0; i < s->step_count; i++)
        if (done >= s->steps[i])
            factor *= s->gamma;
    return factor;
}

static double exponential(const struct schedule *s, double part, double done)
{
    (void)done;
    return pow(s->gamma, part);
}

static double cosine(const struct schedule *s, double part, double done)
{
    (void)s, (void)done;
    return part < 1 ? 0.5 * (1 + cos(M_PI * part)) : 0;
}

static const double start = 1.0 / 25; /* where a rise of the rate begins: at 0 the first update would be none */

static double one_cycle(const struct schedule *s, double part, double done)
{
    (void)s, (void)part;
    const double top = 0.3, end = 1e-4;
    return done < top ? start + (1 - start) * (done / top) : 1 - (1 - end) * ((done - top) / (1 - top));
}

/* X(name, factor on the rate when the part `part` of the time after the warm-up, `done` of the run, lies behind) */
#define SHAPES(X) X("constant", constant) X("step", step) X("exponential", exponential) X("cosine", cosine) X("one-cycle", one_cycle)

static const struct shape {
    const char *name;
    double (*at)(const struct schedule *s, double part, double done);
} shapes[] = {
#define X(name, at) {name, at},
    SHAPES(X)
#undef X
};

const char *schedule_shapes(void)
{
#define X(name, at) "|" name
    return &SHAPES(X)[1];
#undef X
}

static const struct shape *find_shape(const char *name)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (!strcmp(shapes[i].name, name))
            return &shapes[i];
    fatal("--schedule: unknown shape '%s'; known are %s", name, schedule_shapes());
}

static void check_schedule(const struct schedule *s)
{
    assert(s->step_count >= 0 && s->step_count <= (int)(sizeof s->steps / sizeof *s->steps));
    if (!(s->rate >= 0 && s->rate <= FLT_MAX))
        fatal("--rate %g: give a number from 0 up", s->rate);
    if (!(s->warmup >= 0 && s->warmup <= 1))
        fatal("--warmup %g: give a part of the run, from 0 to 1", s->warmup);
    if (!(s->gamma >= 0 && s->gamma <= FLT_MAX))
        fatal("--gamma %g: give a number from 0 up", s->gamma);
    for (int i = 0; i < s->step_count; i++)
        if (!(s->steps[i] >= 0 && s->steps[i] <= 1))
            fatal("--steps: %g: give parts of the run, from 0 to 1", s->steps[i]);
}

double schedule_at(const struct schedule *s, double done)
{
    const struct shape *shape = find_shape(s->shape);
    check_schedule(s);
    done = fmin(fmax(done, 0), 1);
    if (shape->at == one_cycle)
        return s->rate * one_cycle(s, done, done);
    if (done < s->warmup)
        return s->rate * (start + (1 - start) * done / s->warmup) * shape->at(s, 0, done);
    double part = s->warmup < 1 ? (done - s->warmup) / (1 - s->warmup) : 1;
    return s->rate * shape->at(s, part, done);
}
