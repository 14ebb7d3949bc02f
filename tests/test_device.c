/* A network on a device (tests/fake_device.h): does it give the reference's bits, whatever happens
 * on the way, and does it keep its promises to the hook and to the device? The steps that it plans
 * are in test_device_steps.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "network/private.h"
#include "tests/fake_device.h"
#include "tests/fake_network.h"
#include "tests/network_fixture.h"
#include "tests/snapshots.h"

enum { OTHER_SEED = 4, VARIANTS = 4, MOST_AHEAD = 3 };

/* What the reference says, for each of two weights and two batches. */
struct truth {
    float *g[VARIANTS];
    struct loss loss[VARIANTS], evaluation[VARIANTS];
    double *sums[VARIANTS];
};

static void set_variant(struct network_fixture *r, int variant)
{
    fixture_set_weights(r, variant % 2 ? OTHER_SEED : FAKE_NETWORK_SEED);
    fixture_set_batch(r, variant / 2);
}

static void find_truth(struct truth *t, const struct fixture_options *options)
{
    const struct engine engine = {
        .backend = backend_find("ref", DTYPE_F32), .dtype = DTYPE_F32, .name = "ref"};
    struct network_fixture r;
    fixture_open(&r, &engine, options);
    for (int v = 0; v < VARIANTS; v++) {
        set_variant(&r, v);
        t->loss[v] = fixture_gradient(&r);
        t->evaluation[v] = fixture_evaluate(&r);
        t->g[v] = xcalloc((size_t)r.floats, sizeof(float));
        memcpy(t->g[v], r.g, (size_t)r.floats * sizeof(float));
        t->sums[v] = xcalloc((size_t)r.statistic_floats, sizeof(double));
        network_statistics(r.network, (struct weights){r.w, 0}, r.images, t->sums[v]);
    }
    fixture_close(&r);
    assert_true(memcmp(t->g[0], t->g[1], sizeof(float)) && memcmp(t->g[0], t->g[2], sizeof(float)));
}

static void forget_truth(struct truth *t)
{
    for (int v = 0; v < VARIANTS; v++) {
        xfree(t->g[v]);
        xfree(t->sums[v]);
    }
}

static void for_each_kind(void (*check)(struct network_fixture *r, const struct truth *t))
{
    static const struct fixture_options *const kinds[] = {&fake_network_small, &fake_network_large};
    for (int k = 0; k < 2; k++) {
        struct truth t;
        find_truth(&t, kinds[k]);
        for (int mode = COPIES_EARLY; mode <= COPIES_LATE; mode++) {
            struct network_fixture r;
            fake_network_open(&r, kinds[k], (enum fake_device_mode)mode);
            check(&r, &t);
            fake_network_close(&r);
        }
        forget_truth(&t);
    }
}

static void assert_gradient(const struct network_fixture *r, const struct truth *t, int variant,
                            const struct loss *loss)
{
    for (int64_t i = 0; i < r->floats; i++)
        if (memcmp(&r->g[i], &t->g[variant][i], sizeof(float)) != 0)
            fail_msg("%s, variant %d: float %lld of the gradient is %.9g, not %.9g", r->name,
                     variant, (long long)i, (double)r->g[i], (double)t->g[variant][i]);
    assert_memory_equal(loss, &t->loss[variant], sizeof *loss);
    assert_int_equal(fake_device_counted()->waiting, 0);
}

/* g full of NaN before, so that what is not downloaded is seen. */
static bool gradient(struct network_fixture *r, struct loss *loss, network_hook *hook, void *self)
{
    memset(r->g, 0xff, (size_t)r->floats * sizeof(float));
    memset(loss, 0xff, sizeof *loss);
    return network_gradient(r->network, (struct weights){r->w, r->weights_version}, r->images,
                            r->labels, r->g, loss, hook, self);
}

static bool nod(void *self, int step, int64_t from)
{
    (void)self, (void)step, (void)from;
    return true;
}

/* Run, recorded, replayed, with and without anybody listening. */
static void check_bits(struct network_fixture *r, const struct truth *t)
{
    struct loss loss;
    for (int k = 0; k < 2 * VARIANTS; k++) {
        set_variant(r, k % VARIANTS);
        assert_true(gradient(r, &loss, k % 3 == 1 ? nod : NULL, NULL));
        assert_gradient(r, t, k % VARIANTS, &loss);
        loss = fixture_evaluate(r);
        assert_memory_equal(&loss, &t->evaluation[k % VARIANTS], sizeof loss);
    }
    const struct fake_device_counts *c = fake_device_counted();
    assert_true(c->run > 4 && c->recorded == c->run && c->replayed == (2 * VARIANTS - 2) * c->run);
}

static void test_bits(void **state)
{
    (void)state;
    for_each_kind(check_bits);
}

struct watch {
    struct network_fixture *fixture;
    const struct truth *truth;
    int variant, calls, step, again, stop_at;
    int64_t from;
};

/* All that the hook is told to have arrived has, with its last bits; nothing that it was told
 * before is taken back. */
static bool watch(void *self, int step, int64_t from)
{
    struct watch *w = self;
    const struct network_fixture *r = w->fixture;
    if (step < w->step || step >= 2 * r->a.units || from > w->from ||
        (from < r->floats && step < r->a.units))
        fail_msg("%s: step %d with floats from %lld comes after step %d with floats from %lld",
                 r->name, step, (long long)from, w->step, (long long)w->from);
    if (memcmp(r->g + from, w->truth->g[w->variant] + from,
               (size_t)(w->from - from) * sizeof(float)) != 0)
        fail_msg("%s, step %d: of the floats from %lld on some have not arrived", r->name, step,
                 (long long)from);
    w->again += step == w->step;
    w->step = step;
    w->from = from;
    return w->calls++ != w->stop_at;
}

static bool watched(struct network_fixture *r, const struct truth *t, int variant, int stop_at,
                    struct watch *w, struct loss *loss)
{
    *w = (struct watch){.fixture = r,
                        .truth = t,
                        .variant = variant,
                        .stop_at = stop_at,
                        .step = -1,
                        .from = r->floats};
    set_variant(r, variant);
    return gradient(r, loss, watch, w);
}

/* The device moves one call at each look, so the hook is asked at least as often as there are
 * steps. */
static void check_hook(struct network_fixture *r, const struct truth *t)
{
    struct watch w;
    struct loss loss;
    for (int v = 0; v < VARIANTS; v++) {
        assert_true(watched(r, t, v, -1, &w, &loss));
        assert_gradient(r, t, v, &loss);
        assert_int_equal(w.step, 2 * r->a.units - 1);
        assert_int_equal(w.from, 0);
        assert_in_range(w.calls, 2 * r->a.units, INT32_MAX);
        assert_true(w.again > r->a.units);
    }
    assert_in_range(fake_device_counted()->most_ahead, 2, MOST_AHEAD);
}

static void test_hook(void **state)
{
    (void)state;
    for_each_kind(check_hook);
}

/* A hook that says no is asked no more, leaves nothing under way, and what comes then is as if
 * nothing had been. */
static void check_aborts(struct network_fixture *r, const struct truth *t)
{
    struct watch w;
    struct loss loss;
    int units = r->a.units,
        stops[] = {0, 1, units / 2, units, units + 1, units + units / 2, 2 * units - 1, 2 * units};
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        int v = (int)i % VARIANTS;
        assert_false(watched(r, t, v, stops[i], &w, &loss));
        assert_int_equal(w.calls, stops[i] + 1);
        assert_int_equal(fake_device_counted()->waiting, 0);
        if (i % 3 == 0) {
            loss = fixture_evaluate(r);
            assert_memory_equal(&loss, &t->evaluation[v], sizeof loss);
        }
        if (i % 2) /* the same weights again, under the same weights_version */
            assert_true(gradient(r, &loss, NULL, NULL));
        else
            assert_true(watched(r, t, v = (v + 1) % VARIANTS, -1, &w, &loss));
        assert_gradient(r, t, v, &loss);
    }
}

static void test_aborts(void **state)
{
    (void)state;
    for_each_kind(check_aborts);
}

struct visit {
    struct network_fixture *fixture;
    const struct truth *truth;
    const float *other; /* weights of variant 1 */
    double *sums;
    int calls, every;
};

/* At the gradient's own weights and at others, with their weights_versions and without. */
static bool visit(void *self, int step, int64_t from)
{
    (void)from;
    struct visit *v = self;
    struct network_fixture *r = v->fixture;
    if (v->calls++ % v->every)
        return true;
    int turn = v->calls / v->every % 4;
    struct weights w = turn % 2 ? (struct weights){v->other, turn == 1 ? 0 : 1000}
                                : (struct weights){r->w, r->weights_version};
    if (turn == 2 || turn == 1) {
        memset(v->sums, 0, (size_t)r->statistic_floats * sizeof *v->sums);
        network_statistics(r->network, w, r->images, v->sums);
        if (memcmp(v->sums, v->truth->sums[turn % 2],
                   (size_t)r->statistic_floats * sizeof *v->sums) != 0)
            fail_msg("%s: statistics from inside step %d are others", r->name, step);
        return true;
    }
    struct loss loss = {0};
    network_evaluate(r->network, w, r->statistics, r->images, r->labels, r->a.batch, &loss);
    if (memcmp(&loss, &v->truth->evaluation[turn % 2], sizeof loss) != 0)
        fail_msg("%s: an evaluation from inside step %d gives another loss", r->name, step);
    return true;
}

static void check_visits(struct network_fixture *r, const struct truth *t)
{
    struct loss loss;
    float *other = xcalloc((size_t)r->floats, sizeof *other);
    struct visit v = {.fixture = r,
                      .truth = t,
                      .other = other,
                      .sums = xcalloc((size_t)r->statistic_floats, sizeof *v.sums)};
    fixture_set_weights(r, OTHER_SEED);
    memcpy(other, r->w, (size_t)r->floats * sizeof *other);
    set_variant(r, 0);
    for (int round = 0; round < 3; round++) {
        v.every = r->a.units / 4 + round;
        assert_true(gradient(r, &loss, visit, &v));
        assert_gradient(r, t, 0, &loss);
    }
    xfree(v.sums);
    xfree(other);
}

static void test_evaluation_inside_a_gradient(void **state)
{
    (void)state;
    for_each_kind(check_visits);
}

/* Uploaded once for each contents, and again when others lay there in between, or when nobody knows
 * what they are. */
static void check_weights_versions(struct network_fixture *r, const struct truth *t)
{
    static const struct {
        int variant;
        bool known, evaluates;
        int uploads; /* of the weights, by the gradient alone */
    } steps[] = {{0, true, false, 1},  {0, true, false, 0},  {1, true, false, 1},
                 {1, false, false, 1}, {0, false, false, 1}, {0, true, false, 1},
                 {1, true, true, 0},   {1, true, false, 0},  {0, true, false, 1},
                 {1, false, true, 1}};
    int64_t weights = r->floats * (int64_t)sizeof(float);
    struct loss loss;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        int v = steps[i].variant;
        set_variant(r, v);
        r->weights_version = steps[i].known ? 10 + (uint64_t)v : 0;
        if (steps[i].evaluates)
            fixture_evaluate(r);
        int64_t before = fake_device_counted()->uploaded_bytes;
        assert_true(gradient(r, &loss, NULL, NULL));
        assert_gradient(r, t, v, &loss);
        int64_t uploaded = fake_device_counted()->uploaded_bytes - before;
        if (uploaded / weights != steps[i].uploads)
            fail_msg("%s: gradient %d uploads the weights %d times, not %d", r->name, (int)i,
                     (int)(uploaded / weights), steps[i].uploads);
    }
    assert_int_equal(fake_device_counted()->downloaded_bytes / weights,
                     sizeof steps / sizeof *steps);
}

static void test_weights_versions(void **state)
{
    (void)state;
    for_each_kind(check_weights_versions);
}

/* One at other images than the gradient's, from inside it. */
struct peek {
    struct network_fixture *fixture;
    struct images images;
    struct loss truth;
    int calls;
};

static bool peek(void *self, int step, int64_t from)
{
    (void)from;
    struct peek *p = self;
    struct network_fixture *r = p->fixture;
    struct loss loss = {0};
    if (p->calls++ % (r->a.units / 3))
        return true;
    network_evaluate(r->network, (struct weights){r->w, r->weights_version}, r->statistics,
                     p->images, r->labels, r->a.batch, &loss);
    if (memcmp(&loss, &p->truth, sizeof loss) != 0)
        fail_msg("%s: other crops from inside step %d give another loss", r->name, step);
    return true;
}

/* From crops out of a resident data set, and now and then from floats in between, come the
 * reference's bits; of a resident data set only crops travel. */
static void check_resident_data_sets(struct network_fixture *r)
{
    const struct engine engine = {
        .backend = backend_find("ref", DTYPE_F32), .dtype = DTYPE_F32, .name = "ref"};
    enum { TURNS = 4 }; /* run, recorded, replayed twice */
    struct network_fixture truth;
    struct snapshots s, other;
    fixture_open(&truth, &engine, &r->options);
    snapshots_open(&s, &r->a);
    snapshots_open(&other, &r->a);
    const struct pixels pixels = snapshots_pixels(&s);
    struct resident_dataset *resident =
        backend_fake_device.device->resident_open(r->device, &pixels);
    double *sums[2] = {xcalloc((size_t)r->statistic_floats, sizeof **sums),
                       xcalloc((size_t)r->statistic_floats, sizeof **sums)};
    set_variant(r, 0);
    for (int turn = 0; turn < TURNS; turn++) {
        bool floats = turn == 2, last = turn == TURNS - 1;
        struct peek p = {.fixture = r, .images = snapshots_crops(&other, resident)};
        struct loss is, should;
        truth.images = snapshots_floats(&other);
        if (last)
            p.truth = fixture_evaluate(&truth);
        snapshots_draw(&s, turn);
        truth.images = snapshots_floats(&s);
        r->images = floats ? snapshots_floats(&s) : snapshots_crops(&s, resident);
        should = fixture_gradient(&truth);
        int64_t before = fake_device_counted()->uploaded_bytes;
        assert_true(gradient(r, &is, last ? peek : NULL, &p));
        assert_memory_equal(&is, &should, sizeof is);
        assert_memory_equal(r->g, truth.g, (size_t)r->floats * sizeof *r->g);
        if (turn == 1) /* the weights lie there */
            assert_int_equal(fake_device_counted()->uploaded_bytes - before,
                             r->a.batch * (int)(sizeof(struct crop) + sizeof(int32_t)));
        is = fixture_evaluate(r);
        should = fixture_evaluate(&truth);
        assert_memory_equal(&is, &should, sizeof is);
        for (int k = 0; k < 2; k++) {
            struct network_fixture *of = k ? &truth : r;
            memset(sums[k], 0, (size_t)r->statistic_floats * sizeof *sums[k]);
            network_statistics(of->network, (struct weights){of->w, of->weights_version},
                               of->images, sums[k]);
        }
        assert_memory_equal(sums[0], sums[1], (size_t)r->statistic_floats * sizeof *sums[0]);
    }
    backend_fake_device.device->resident_close(resident);
    r->images = (struct images){.floats = r->floats_of_images};
    xfree(sums[0]);
    xfree(sums[1]);
    snapshots_close(&s);
    snapshots_close(&other);
    fixture_close(&truth);
}

static void test_resident_data_sets(void **state)
{
    (void)state;
    for (int mode = COPIES_EARLY; mode <= COPIES_LATE; mode++) {
        struct network_fixture r;
        fake_network_open(&r, &fake_network_small, (enum fake_device_mode)mode);
        check_resident_data_sets(&r);
        fake_network_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_hook),
        cmocka_unit_test(test_aborts),
        cmocka_unit_test(test_evaluation_inside_a_gradient),
        cmocka_unit_test(test_weights_versions),
        cmocka_unit_test(test_resident_data_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
