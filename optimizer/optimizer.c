/* Update rules, schedules and vector work.
 *
 * Law: each float is computed alone and in one order of operations, that of PyTorch's kernels
 * (without their fused multiply-adds), so a result depends neither on the threads nor on how the
 * vector is cut. Cost of a step in floats read and written a weight: plain SGD 2 + 1, momentum and
 * Adagrad 3 + 2, Adam 4 + 3, in one pass. */
#include "optimizer/optimizer.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/simd.h"

/* We never look at errno: told so, the compiler vectorises the root. */
float sqrtf(float) __attribute__((const));

typedef void kernel(const struct step_coefficients *p, float *w, const float *g, float *m, float *v,
                    int64_t count);

#define KERNEL(name)                                                                               \
    SIMD(name,                                                                                     \
         (const struct step_coefficients *p, float *w, const float *g, float *m, float *v,         \
          int64_t count),                                                                          \
         (p, w, g, m, v, count))

struct rule;

struct optimizer {
    struct optimizer_options options;
    const struct rule *rule;
    int64_t count, steps;
    float *state[2], *accumulated; /* NULL until something is */
    struct range *no_decay; /* indices of the slice, clipped to it; the last begins behind all */
    int no_decay_count;
    const struct device_optimizer_kind *device_kind;
    struct device_optimizer *device; /* NULL: all is in the host's memory */
    float *home;                     /* else the copy of the weights */
};

SIMD_LOOP plain_loop(const struct step_coefficients *p, float *restrict w, const float *restrict g,
                     float *restrict m, float *restrict v, int64_t count)
{
    (void)m, (void)v;
    const float lr = p->lr, decay = p->decay;
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        w[i] -= lr * (g[i] + decay * w[i]);
}

KERNEL(plain)

SIMD_LOOP sgd_loop(const struct step_coefficients *p, float *restrict w, const float *restrict g,
                   float *restrict m, float *restrict v, int64_t count)
{
    (void)v;
    const float lr = p->lr, momentum = p->momentum, decay = p->decay;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        m[i] = momentum * m[i] + (g[i] + decay * w[i]);
        w[i] -= lr * m[i];
    }
}

KERNEL(sgd)

SIMD_LOOP nesterov_loop(const struct step_coefficients *p, float *restrict w,
                        const float *restrict g, float *restrict m, float *restrict v,
                        int64_t count)
{
    (void)v;
    const float lr = p->lr, momentum = p->momentum, decay = p->decay;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float d = g[i] + decay * w[i];
        m[i] = momentum * m[i] + d;
        w[i] -= lr * (d + momentum * m[i]);
    }
}

KERNEL(nesterov)

SIMD_LOOP adam_loop(const struct step_coefficients *p, float *restrict w, const float *restrict g,
                    float *restrict m, float *restrict v, int64_t count)
{
    const struct step_coefficients q = *p;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float d = g[i] + q.decay * w[i];
        m[i] = q.beta1 * m[i] + q.fresh1 * d;
        v[i] = q.beta2 * v[i] + q.fresh2 * d * d;
        w[i] = q.keep * w[i] - q.lr * m[i] / (sqrtf(v[i]) + q.epsilon);
    }
}

KERNEL(adam)

SIMD_LOOP adagrad_loop(const struct step_coefficients *p, float *restrict w,
                       const float *restrict g, float *restrict m, float *restrict v, int64_t count)
{
    (void)v;
    const float lr = p->lr, decay = p->decay, epsilon = p->epsilon;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float d = g[i] + decay * w[i];
        m[i] += d * d;
        w[i] -= lr * d / (sqrtf(m[i]) + epsilon);
    }
}

KERNEL(adagrad)

/* X(name, kernel, the same elsewhere, vectors of state, weight decay apart from the gradient) */
#define RULES(X)                                                                                   \
    X(sgd, sgd, STEP_SGD, 1, false)                                                                \
    X(nesterov, nesterov, STEP_NESTEROV, 1, false)                                                 \
    X(adam, adam, STEP_ADAM, 2, false)                                                             \
    X(adamw, adam, STEP_ADAM, 2, true)                                                             \
    X(adagrad, adagrad, STEP_ADAGRAD, 1, false)

static const struct rule {
    const char *name;
    kernel *kernel;
    enum step_rule step;
    int states;
    bool decoupled;
} rules[] = {
#define X(name, kernel, step, states, apart) {#name, kernel, step, states, apart},
    RULES(X)
#undef X
};

/* SGD and Nesterov when there is no momentum: nothing to remember. */
static const struct rule stateless = {"sgd", plain, STEP_PLAIN, 0, false};

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

static void check_options(const struct optimizer_options *o, const struct rule *rule)
{
    if (!(o->momentum >= 0 && o->momentum < 1))
        fatal("--momentum %g: give a number from 0 to below 1", o->momentum);
    if (!(o->decay >= 0 && o->decay <= FLT_MAX))
        fatal("--weight-decay %g: give a number from 0 up", o->decay);
    if (!(o->beta1 >= 0 && o->beta1 < 1 && o->beta2 >= 0 && o->beta2 < 1))
        fatal("--beta1 %g --beta2 %g: give numbers from 0 to below 1", o->beta1, o->beta2);
    if ((rule->kernel == adam || rule->kernel == adagrad) &&
        !(o->epsilon >= FLT_MIN && o->epsilon <= FLT_MAX))
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

struct optimizer *optimizer_open(const struct optimizer_options *options, struct range slice,
                                 const struct range *no_decay, int no_decay_count)
{
    assert(slice.from >= 0 && slice.from <= slice.to && no_decay_count >= 0);
    const struct rule *rule = find_rule(options->rule);
    check_options(options, rule);
    struct optimizer *o = xcalloc(1, sizeof *o);
    o->options = *options;
    o->options.rule = rule->name;
    o->rule = (rule->kernel == sgd || rule->kernel == nesterov) && options->momentum == 0
                  ? &stateless
                  : rule;
    o->count = slice.to - slice.from;
    for (int i = 0; i < o->rule->states; i++)
        o->state[i] = xcalloc((size_t)o->count, sizeof(float));
    set_no_decay(o, slice, no_decay, options->decay > 0 ? no_decay_count : 0);
    return o;
}

void optimizer_close(struct optimizer *o)
{
    if (!o)
        return;
    if (o->device)
        o->device_kind->close(o->device);
    xfree(o->state[0]);
    xfree(o->state[1]);
    xfree(o->accumulated);
    xfree(o->no_decay);
    xfree(o);
}

int64_t optimizer_state_bytes(const struct optimizer *o)
{
    return o->rule->states * o->count * (int64_t)sizeof(float);
}

/* The next step's numbers: step_coefficients[1] where weights decay, step_coefficients[0] where
 * they are no_decay. Adam's corrections of the bias go into rate and epsilon (Kingma and Ba, end of
 * section 2), which saves a division a weight. */
static void next_coefficients(struct optimizer *o, double lr, struct step_coefficients c[2])
{
    assert(isfinite(lr));
    const struct optimizer_options *q = &o->options;
    double steps = (double)++o->steps, bias = 1, root = 1;
    if (o->rule->kernel == adam) {
        bias = 1 - pow(q->beta1, steps);
        root = sqrt(1 - pow(q->beta2, steps));
    }
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
    c[1] = c[0];
    if (o->rule->decoupled)
        c[1].keep = (float)(1 - lr * q->decay);
    else
        c[1].decay = (float)q->decay;
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

/* Steps on floats `at` of the slice, kept and no_decay ranges in turn; w is the whole slice, g
 * begins at `at`. */
static void update(const struct optimizer *o, const struct step_coefficients c[2], float *w,
                   const float *g, struct range at)
{
    const struct range *no_decay = no_decay_from(o, at.from);
    for (int64_t from = at.from, to; from < at.to; from = to) {
        bool decays = from < no_decay->from;
        to = least(at.to, decays ? no_decay->from : no_decay->to);
        float *m = o->state[0] ? o->state[0] + from : NULL,
              *v = o->state[1] ? o->state[1] + from : NULL;
        o->rule->kernel(&c[decays], w + from, g + (from - at.from), m, v, to - from);
        if (!decays)
            no_decay++;
    }
}

void optimizer_step(struct optimizer *o, float *w, const float *g, double lr)
{
    struct step_coefficients c[2];
    if (o->device) {
        optimizer_step_sum(o, w, NULL, &g, (const double[]){1}, 1, lr);
        return;
    }
    next_coefficients(o, lr, c);
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
    EACH_RANGE(o->count, o->options.threads, sum_part(o, c, w, g, source, scale, sources, at));
}

void optimizer_sum(struct optimizer *o, float *w, const float *const *source, const double *scale,
                   int sources)
{
    if (o->device) {
        assert(w == o->home);
        o->device_kind->sum(o->device, source, scale, sources);
    } else {
        vector_sum(w, source, scale, sources, o->count, o->options.threads);
    }
}

void optimizer_accumulate(struct optimizer *o, const float *source)
{
    if (o->device) {
        o->device_kind->accumulate(o->device, source);
        return;
    }
    if (!o->accumulated)
        o->accumulated = xcalloc((size_t)o->count, sizeof *o->accumulated);
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
    if (o->accumulated)
        memset(o->accumulated, 0, (size_t)o->count * sizeof *o->accumulated);
}

void optimizer_offload(struct optimizer *o, const struct device_optimizer_kind *kind, float *w,
                       int sources, int number)
{
    assert(!o->steps && !o->accumulated && !o->device);
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
        xfree(o->state[i]);
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

/* where a rise of the rate begins: at 0 the first update would be none */
static const double start = 1.0 / 25;

static double one_cycle(const struct schedule *s, double part, double done)
{
    (void)s, (void)part;
    const double top = 0.3, end = 1e-4;
    return done < top ? start + (1 - start) * (done / top)
                      : 1 - (1 - end) * ((done - top) / (1 - top));
}

/* X(name, factor on the rate when the part `part` of the time after the warm-up, `done` of the run,
 * lies behind) */
#define SHAPES(X)                                                                                  \
    X("constant", constant)                                                                        \
    X("step", step) X("exponential", exponential) X("cosine", cosine) X("one-cycle", one_cycle)

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
    if (!(s->lr >= 0 && s->lr <= FLT_MAX))
        fatal("--lr %g: give a number from 0 up", s->lr);
    if (!(s->warmup >= 0 && s->warmup <= 1))
        fatal("--warmup %g: give a part of the run, from 0 to 1", s->warmup);
    if (!(s->gamma >= 0 && s->gamma <= FLT_MAX))
        fatal("--gamma %g: give a number from 0 up", s->gamma);
    for (int i = 0; i < s->step_count; i++)
        if (!(s->steps[i] >= 0 && s->steps[i] <= 1))
            fatal("--milestones: %g: give parts of the run, from 0 to 1", s->steps[i]);
}

double schedule_at(const struct schedule *s, double done)
{
    const struct shape *shape = find_shape(s->shape);
    check_schedule(s);
    done = fmin(fmax(done, 0), 1);
    if (shape->at == one_cycle)
        return s->lr * one_cycle(s, done, done);
    if (done < s->warmup)
        return s->lr * (start + (1 - start) * done / s->warmup) * shape->at(s, 0, done);
    double part = s->warmup < 1 ? (done - s->warmup) / (1 - s->warmup) : 1;
    return s->lr * shape->at(s, part, done);
}
