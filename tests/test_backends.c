/* Does every backend that is built in compute what the reference computes?
 *
 * How activations lie is a backend's own business, so whole small networks are compared
 * (layer_harness.h) where they are plain: images go in, logits and the gradients of all weights
 * come out, and the first unit's gradient depends on every later dx. Each network is run with other
 * weights before, so that what a backend keeps of them is seen. Distances are relative to a
 * tensor's norm; `allow` says how large they may be. That the comparison can fail is proved on
 * backends broken on purpose. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/chains.h"

enum measured { LOGITS, STATISTICS, GRADIENTS, KINDS };

/* The greatest distances between two outcomes, and where they are. */
struct distance {
    double of[KINDS];
    char where[KINDS][64];
};

/* Relative to the norm of the true tensor or, where that nearly vanishes (after a norm over a
 * single pixel), to `least`. */
static void measure(struct distance *d, enum measured kind, const float *is, const float *truth,
                    int64_t count, double least, const char *what, int unit)
{
    double squares = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        double difference = (double)is[i] - (double)truth[i];
        squares += difference * difference;
        norm += (double)truth[i] * (double)truth[i];
    }
    double relative = squares == 0 ? 0 : sqrt(squares) / fmax(sqrt(norm), least);
    if (!(relative <= d->of[kind])) {
        d->of[kind] = isnan(relative) ? INFINITY : relative;
        snprintf(d->where[kind], sizeof d->where[kind], "%s of unit %d", what, unit);
    }
}

static void measure_gradients(struct distance *d, const struct trial *t, const float *is,
                              const float *truth)
{
    double squares = 0;
    for (int64_t i = 0; i < t->offset[t->units]; i++)
        squares += (double)truth[i] * (double)truth[i];
    double least = 1e-2 * sqrt(squares);
    for (int i = 0; i < t->units; i++) {
        const struct unit_shape *s = &t->shape[i];
        int64_t at = t->offset[i], end = t->offset[i + 1],
                channels = s->norm || s->bias || s->kind == UNIT_DENSE ? s->out_c : 0;
        int64_t weights = end - at - (s->norm ? 2 : 1) * channels, gamma = at + weights,
                beta = end - channels;
        measure(d, GRADIENTS, is + at, truth + at, weights, least, "weights' gradient", i);
        measure(d, GRADIENTS, is + gamma, truth + gamma, s->norm ? channels : 0, least,
                "gamma's gradient", i);
        measure(d, GRADIENTS, is + beta, truth + beta, channels, least, "beta's or bias's gradient",
                i);
    }
}

static struct distance distance_of(const struct trial *t, const struct outcome *is,
                                   const struct outcome *truth)
{
    struct distance d = {0};
    int64_t logits = (int64_t)t->size.batch * CLASSES;
    int last = t->units - 1;
    float loss[2] = {(float)is->loss.sum, (float)truth->loss.sum};
    measure(&d, LOGITS, is->logits, truth->logits, logits, 0, "training's logits", last);
    measure(&d, LOGITS, is->counted, truth->logits, logits, 0, "logits with nothing saved", last);
    measure(&d, LOGITS, is->inferred, truth->inferred, logits, 0, "inference's logits", last);
    measure(&d, LOGITS, &loss[0], &loss[1], 1, 0, "loss", last);
    measure(&d, LOGITS, is->dlogits, truth->dlogits, logits, 0, "dlogits", last);
    for (int i = 0; i < t->units; i++) {
        int64_t from = t->statistic[i], count = t->statistic[i + 1] - from;
        measure(&d, STATISTICS, is->statistics + from, truth->statistics + from, count, 1e-2,
                "mean and variance", i);
        measure(&d, STATISTICS, is->counted_statistics + from, truth->statistics + from, count,
                1e-2, "mean and variance, nothing saved,", i);
    }
    measure_gradients(&d, t, is->g, truth->g);
    return d;
}

/* In parts of what is allowed, the worst and where it is. */
struct verdict {
    double share;
    char text[256];
};

static struct verdict judge(const struct distance *d, const struct distance *allowed)
{
    struct verdict worst = {0};
    for (int kind = 0; kind < KINDS; kind++) {
        double share = isfinite(d->of[kind]) ? d->of[kind] / allowed->of[kind]
                                             : INFINITY; /* a NaN is never allowed */
        if (share > worst.share) {
            worst.share = share;
            snprintf(worst.text, sizeof worst.text, "%s is off by %.2g, allowed %.2g",
                     d->where[kind], d->of[kind], allowed->of[kind]);
        }
    }
    return worst;
}

static const struct backend *reference(void)
{
    return backend_find("ref", DTYPE_F32);
}

enum run { ONCE, ROUNDED, AGAIN, AGAIN_WITH_VERSIONS };

static void run_on(const struct trial *t, const struct backend *b,
                   const struct device_options *options, enum run run, struct outcome *o)
{
    struct harness k;
    harness_open(&k, t, b, options);
    outcome_open(o, t);
    k.rounds = run == ROUNDED;
    if (run <= ROUNDED)
        harness_once(&k, 1, o);
    else
        harness_again(&k, run == AGAIN_WITH_VERSIONS, o);
    harness_close(&k);
}

static void run_reference(const struct trial *t, int threads, enum run run, struct outcome *o)
{
    run_on(t, reference(),
           &(struct device_options){.threads = threads, .dtype = DTYPE_F32, .quiet = true}, run, o);
}

enum { MOST_BACKENDS = 8, DTYPES = 2 };

static const char *const type_name[DTYPES] = {"f32", "bf16"};

/* May an activation fall on the other side of a ReLU's 0, or another pixel be the greatest? Each
 * that does moves a gradient by 1 / sqrt(elements). LINEAR: there is no ReLU. SAFE: none is near
 * enough to 0 for float32. UNSAFE: some are. */
enum care { LINEAR, SAFE, UNSAFE };

/* float32 noise is about 1e-6; a norm over a single pixel, which divides it by sqrt(epsilon), makes
 * up to 1e-4 of it. bf16: what rounding does to the reference, times a slack; where few pixels are
 * left a gradient hangs on single activations, and is not judged. */
static void allow(const struct trial *t, const struct outcome *truth, enum care care,
                  struct distance allowed[DTYPES])
{
    const double slack = 4;
    int pixels = t->size.batch * t->size.h * t->size.w;
    double f32 = pixels < 8 ? 2e-3 : 1e-4;
    struct outcome rounded;
    run_reference(t, 2, ROUNDED, &rounded);
    allowed[DTYPE_F32] = (struct distance){
        .of = {[LOGITS] = f32, [STATISTICS] = f32, [GRADIENTS] = care == UNSAFE ? 3e-2 : 2 * f32}};
    allowed[DTYPE_BF16] = distance_of(t, &rounded, truth);
    double *bf16 = allowed[DTYPE_BF16].of;
    assert_true(isfinite(bf16[LOGITS] + bf16[STATISTICS] + bf16[GRADIENTS]));
    bf16[LOGITS] = 1e-2 + slack * bf16[LOGITS];
    bf16[STATISTICS] = 1e-2 + slack * bf16[STATISTICS];
    bf16[GRADIENTS] =
        pixels < 80 ? INFINITY : (care == LINEAR ? 1e-2 : 1e-1) + slack * bf16[GRADIENTS];
    outcome_close(&rounded);
}

/* What a test knows while it goes through its trials; `cache` spares the backends to time a shape
 * twice. */
struct progress {
    char cache[64];
    int turn;
    struct verdict worst[MOST_BACKENDS][DTYPES];
};

/* Backends for GPUs may lack what a ResNet does not need; unit_open() refuses it. */
static bool lacks(const struct backend *b, const struct trial *t)
{
    for (int i = 0; i < t->units && b->device; i++)
        if (!unit_is_basic(&t->shape[i]))
            return true;
    return false;
}

/* Runs every backend but the reference in every type, with one thread or two, with
 * weights_versions or without, in alternation. */
static void check_trial(const struct trial *t, enum care care, struct progress *p)
{
    struct outcome truth, is;
    struct distance allowed[DTYPES];
    int threads = 1 + p->turn % 2;
    enum run run = p->turn++ / 2 % 2 ? AGAIN : AGAIN_WITH_VERSIONS;
    run_reference(t, 2, ONCE, &truth);
    allow(t, &truth, care, allowed);
    for (int i = 0; backends[i]; i++)
        for (int dtype = 0; dtype < DTYPES; dtype++) {
            if (backends[i] == reference() || !backends[i]->has((enum backend_dtype)dtype) ||
                lacks(backends[i], t))
                continue;
            run_on(t, backends[i],
                   &(struct device_options){
                       .threads = threads, .dtype = dtype, .cache = p->cache, .quiet = true},
                   run, &is);
            struct distance d = distance_of(t, &is, &truth);
            struct verdict v = judge(&d, &allowed[dtype]);
            if (!(v.share <= 1))
                fail_msg("%s %s, %d threads, %s: %s", backends[i]->name, type_name[dtype], threads,
                         t->name, v.text);
            if (v.share > p->worst[i][dtype].share)
                p->worst[i][dtype] = v;
            outcome_close(&is);
        }
    outcome_close(&truth);
}

static void begin(struct progress *p)
{
    *p = (struct progress){.cache = "/tmp/test_backends.XXXXXX"};
    if (backends[0] == reference()) {
        print_message("SKIPPED: no backend but ref is built in\n");
        skip();
    }
    int file = mkstemp(p->cache);
    assert_true(file >= 0);
    close(file);
}

static void end(const struct progress *p, const char *what)
{
    unlink(p->cache);
    for (int i = 0; backends[i]; i++)
        for (int dtype = 0; dtype < DTYPES; dtype++)
            if (p->worst[i][dtype].share > 0)
                print_message("%s, %s %s: %s\n", what, backends[i]->name, type_name[dtype],
                              p->worst[i][dtype].text);
}

/* The first seed under which no activation is so near to where it matters that two backends may
 * differ about its side. */
static void open_safely(struct trial *t, const struct chain *chain, struct size size)
{
    const uint64_t seeds = 100;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        trial_open(t, chain, size, seed);
        if (harness_margin(t, reference()) > 3e-5)
            return;
        trial_close(t);
    }
    fail_msg("%s: under none of %d seeds everything keeps away from 0", chain->name, (int)seeds);
}

/* Each network in every other size. */
static void test_odd_shapes(void **state)
{
    (void)state;
    static const struct size sizes[] = {{1, 3, 1, 1, 4},  {32, 3, 1, 1, 24}, {3, 1, 2, 2, 5},
                                        {32, 3, 2, 2, 3}, {4, 3, 3, 7, 17},  {3, 4, 9, 5, 1},
                                        {5, 3, 4, 4, 64}, {2, 3, 8, 8, 32}};
    struct progress p;
    begin(&p);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int c = (int)i % 2; c <= CHAINS; c += 2) {
            struct trial t;
            struct chain chain = c < CHAINS ? chains[c] : chain_without_relu(&chains[STAGE]);
            open_safely(&t, &chain, sizes[i]);
            check_trial(&t, c < CHAINS ? SAFE : LINEAR, &p);
            trial_close(&t);
        }
    end(&p, "odd shapes");
}

#ifdef __SANITIZE_ADDRESS__
enum {
    WIDEST = 128
}; /* a step of ResNet-50 (test_step) has the wider ones under a sanitizer, too */
#else
enum { WIDEST = 512 };
#endif

/* The shapes of ResNet-50 (with both stems) and of ResNet-20 on images of 32x32, in small batches.
 * With so many activations some are always near 0, so most are run without ReLU, and strictly. */
static void test_real_shapes(void **state)
{
    (void)state;
    static const struct {
        int chain;
        struct size size;
        enum care care;
    } real[] = {
        {STAGE_ONE, {1, 3, 32, 32, 64}, LINEAR}, {STAGE, {1, 3, 32, 32, 128}, LINEAR},
        {STAGE, {1, 3, 32, 32, 128}, UNSAFE},    {STAGE, {1, 3, 16, 16, 256}, LINEAR},
        {STAGE, {2, 3, 8, 8, 512}, LINEAR},      {STAGE_ONE, {4, 3, 8, 8, 64}, UNSAFE},
        {STAGE, {4, 3, 8, 8, 128}, LINEAR},      {STAGE, {8, 3, 4, 4, 256}, LINEAR},
        {STAGE, {32, 3, 2, 2, 512}, LINEAR},     {STAGE, {32, 3, 2, 2, 512}, UNSAFE},
        {OPTION_A, {2, 3, 32, 32, 16}, LINEAR},  {OPTION_A, {4, 3, 16, 16, 32}, LINEAR},
        {OPTION_A, {4, 3, 16, 16, 32}, UNSAFE},  {IMAGENET_STEM, {4, 3, 32, 32, 64}, UNSAFE},
        {LENET, {8, 1, 28, 28, 6}, UNSAFE},      {LENET, {4, 3, 32, 32, 6}, UNSAFE},
        {LENET, {3, 3, 14, 12, 5}, UNSAFE},      {BIASES, {4, 3, 32, 32, 16}, UNSAFE},
    };
    struct progress p;
    begin(&p);
    for (size_t i = 0; i < sizeof real / sizeof *real; i++) {
        struct trial t;
        struct chain linear = chain_without_relu(&chains[real[i].chain]);
        if (real[i].size.width > WIDEST)
            continue;
        trial_open(&t, real[i].care == LINEAR ? &linear : &chains[real[i].chain], real[i].size, 1);
        check_trial(&t, real[i].care, &p);
        trial_close(&t);
    }
    end(&p, "real shapes");
}

/* The reference's bits must not depend on the number of threads. */
static void test_reference_threads(void **state)
{
    (void)state;
    for (int c = 0; c < CHAINS; c++) {
        struct trial t;
        struct outcome one, three;
        trial_open(&t, &chains[c], (struct size){5, 3, 9, 6, 17}, 1);
        run_reference(&t, 1, ONCE, &one);
        run_reference(&t, 3, AGAIN, &three);
        size_t logits = (size_t)t.size.batch * CLASSES * sizeof(float);
        assert_memory_equal(one.g, three.g, (size_t)t.offset[t.units] * sizeof(float));
        assert_memory_equal(one.statistics, three.counted_statistics,
                            (size_t)t.statistic[t.units] * sizeof(float));
        assert_memory_equal(one.logits, three.logits, logits);
        assert_memory_equal(one.logits, one.counted, logits);
        assert_memory_equal(one.inferred, three.inferred, logits);
        outcome_close(&one);
        outcome_close(&three);
        trial_close(&t);
    }
}

/* A run that has diverged must be seen in its loss: no backend may swallow a NaN. */
static void test_nan_reaches_the_loss(void **state)
{
    (void)state;
    for (int c = 0; c < CHAINS; c++) {
        struct trial t;
        struct outcome o;
        trial_open(&t, &chains[c], (struct size){3, 3, 8, 8, 8}, 1);
        t.images[0] = NAN;
        for (int i = 0; backends[i]; i++)
            for (int dtype = 0; dtype < DTYPES; dtype++) {
                if (!backends[i]->has((enum backend_dtype)dtype) || lacks(backends[i], &t))
                    continue;
                run_on(&t, backends[i],
                       &(struct device_options){.threads = 1, .dtype = dtype, .quiet = true}, ONCE,
                       &o);
                if (!isnan(o.loss.sum) || o.loss.top1 > 2)
                    fail_msg("%s %s, %s: a NaN in an image leaves a loss of %g", backends[i]->name,
                             type_name[dtype], t.name, o.loss.sum);
                outcome_close(&o);
            }
        trial_close(&t);
    }
}

/* Backends broken on purpose. */
static void forgets_second_gradient(struct unit *u, const struct unit_io *io)
{
    struct unit_io broken = *io;
    broken.dy2 = NULL;
    reference()->backward(u, &broken);
}

static void leaves_a_hole(struct unit *u, const struct unit_io *io)
{
    reference()->backward(u, io);
    if (io->dx)
        memset(io->dx, 0xff, sizeof(float));
}

static void is_slightly_off(struct unit *u, const struct unit_io *io)
{
    reference()->backward(u, io);
    io->g[0] *= 1.05f;
}

static void ignores_statistics(struct unit *u, const struct unit_io *io, enum unit_mode mode)
{
    struct unit_io broken = *io;
    if (mode == UNIT_INFER)
        broken.mean = broken.variance = NULL;
    reference()->forward(u, &broken, UNIT_TRAIN);
}

static void is_unbiased(struct unit *u, const struct unit_io *io, enum unit_mode mode)
{
    reference()->forward(u, io, mode);
    if (mode == UNIT_TRAIN && io->variance)
        io->variance[0] *= 1.01f;
}

static void needs_room_to_save(struct unit *u, const struct unit_io *io, enum unit_mode mode)
{
    if (mode == UNIT_INFER || io->saved || !io->mean)
        reference()->forward(u, io, mode);
}

static void drops_nothing_back(struct unit *u, const struct unit_io *io)
{
    struct unit_io broken = *io;
    broken.key = NULL;
    reference()->backward(u, &broken);
}

static void drops_others(struct unit *u, const struct unit_io *io, enum unit_mode mode)
{
    const uint64_t key = *io->key + 1;
    struct unit_io broken = *io;
    broken.key = &key;
    reference()->forward(u, &broken, mode);
}

static void drops_in_inference(struct unit *u, const struct unit_io *io, enum unit_mode mode)
{
    reference()->forward(u, io, io->mean && mode == UNIT_INFER ? mode : UNIT_TRAIN);
}

static struct verdict verdict_of(const struct trial *t, const struct backend *broken,
                                 const struct outcome *truth, const struct distance *allowed)
{
    struct outcome is;
    run_on(t, broken, &(struct device_options){.threads = 1, .dtype = DTYPE_F32, .quiet = true},
           AGAIN, &is);
    struct distance d = distance_of(t, &is, truth);
    outcome_close(&is);
    return judge(&d, allowed);
}

/* Of dropout: the mask must be the key's, in both directions, and none in inference. */
static void test_dropout_can_fail(void **state)
{
    (void)state;
    struct backend broken[] = {*reference(), *reference(), *reference()};
    struct trial t;
    struct outcome truth;
    struct distance allowed[DTYPES];
    broken[0].backward = drops_nothing_back;
    broken[1].forward = drops_others;
    broken[2].forward = drops_in_inference;
    open_safely(&t, &chains[DROPPED], (struct size){3, 3, 4, 4, 3});
    run_reference(&t, 1, ONCE, &truth);
    allow(&t, &truth, SAFE, allowed);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct verdict v = verdict_of(&t, &broken[i], &truth, &allowed[DTYPE_F32]);
        if (v.share <= 1)
            fail_msg("broken dropout %d passes: %s", (int)i, v.text);
    }
    outcome_close(&truth);
    trial_close(&t);
}

static void test_comparison_can_fail(void **state)
{
    (void)state;
    enum { WHOLE, BROKEN = 7 };
    struct backend broken[BROKEN];
    struct trial t;
    struct outcome truth;
    struct distance allowed[DTYPES];
    for (int i = 0; i < BROKEN; i++)
        broken[i] = *reference();
    broken[1].backward = forgets_second_gradient;
    broken[2].backward = leaves_a_hole;
    broken[3].backward = is_slightly_off;
    broken[4].forward = ignores_statistics;
    broken[5].forward = is_unbiased;
    broken[6].forward = needs_room_to_save;
    open_safely(&t, &chains[BOTTLENECK], (struct size){3, 3, 4, 4, 3});
    run_reference(&t, 1, ONCE, &truth);
    allow(&t, &truth, SAFE, allowed);
    for (int i = 0; i < BROKEN; i++) {
        struct verdict v = verdict_of(&t, &broken[i], &truth, &allowed[DTYPE_F32]);
        if (i == WHOLE ? v.share != 0 : v.share <= 1)
            fail_msg("broken backend %d (%d: whole) is at %.2g of what is allowed (%s)", i, WHOLE,
                     v.share, v.text);
    }
    outcome_close(&truth);
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comparison_can_fail), cmocka_unit_test(test_dropout_can_fail),
        cmocka_unit_test(test_reference_threads),   cmocka_unit_test(test_nan_reaches_the_loss),
        cmocka_unit_test(test_odd_shapes),          cmocka_unit_test(test_real_shapes),
    };
    return cmocka_run_group_tests_name("backends", tests, NULL, NULL);
}
