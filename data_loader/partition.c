/* A kind names an owner for each sample; one counting sort then puts each worker's samples into one
 * piece.
 *
 * Cost: 10 ns a sample (half of it the shuffle), for dirichlet 160 ns a class and worker more; 12
 * bytes of memory a sample while it is made, 4 are kept. The sorts are stable: within a class and a
 * share all samples stay in the order of the one shuffle. */
#include "data_loader/partition.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"

enum { CLASSES = 256 };                       /* of a label in a byte */
enum { KEY_SAMPLES, KEY_CLASSES, KEY_GAMMA }; /* what is drawn under RANDOM_SHARE */

/* What a kind works on: all samples, shuffled; owner[i] is to be the worker that gets list[i]. A
 * kind may reorder the list. */
struct deal {
    const struct partition_options *o;
    const uint8_t *labels;
    int64_t count;
    int32_t *list, *owner;
};

struct kind {
    const char *name;
    void (*deal)(struct deal *d); /* NULL: everybody gets everything */
    bool cut;                     /* to the smallest share */
    const char
        *remedy; /* for a worker without a sample: why, and what to do; NULL: there is none */
};

struct partition {
    struct partition_options options; /* name: the kind's; speeds: a copy */
    const struct kind *kind;
    int64_t count;
    int32_t *list;         /* [count] */
    int64_t *first, *size; /* [workers] each: where a share begins in it, and how long it is */
};

/* Moves list[0 .. count - 1] into the order of its keys, 0 .. keys - 1; those of key k begin at
 * first[k], first[keys] is the end. */
static void sort_by(const int32_t *key, int keys, int32_t *list, int64_t count, int64_t *first)
{
    int32_t *sorted = xcalloc((size_t)count, sizeof *sorted);
    memset(first, 0, ((size_t)keys + 1) * sizeof *first);
    for (int64_t i = 0; i < count; i++)
        first[key[i] + 1]++;
    for (int k = 0; k < keys; k++)
        first[k + 1] += first[k];
    for (int64_t i = 0; i < count; i++)
        sorted[first[key[i]]++] = list[i];
    /* each first has moved on to its end, which is the next one's first */
    memmove(first + 1, first, (size_t)keys * sizeof *first);
    first[0] = 0;
    memcpy(list, sorted, (size_t)count * sizeof *list);
    xfree(sorted);
}

struct remainder {
    double rest;
    int of;
};

static int greater_first(const void *a, const void *b)
{
    const struct remainder *x = a, *y = b;
    return x->rest != y->rest ? (x->rest < y->rest) - (x->rest > y->rest)
                              : (x->of > y->of) - (x->of < y->of);
}

/* Cuts `total` in proportion to weight[n] by largest remainders; of equal ones the first. */
static void apportion(int64_t total, const double *weight, int n, int64_t *part)
{
    struct remainder *order = xcalloc((size_t)n, sizeof *order);
    double sum = 0;
    int64_t rest = total;
    for (int i = 0; i < n; i++)
        sum += weight[i];
    for (int i = 0; i < n; i++) {
        double exact = (double)total * weight[i] / sum;
        part[i] = (int64_t)exact;
        rest -= part[i];
        order[i] = (struct remainder){.rest = exact - (double)part[i], .of = i};
    }
    assert(0 <= rest && rest <= n); /* roundings are too small to lose or make a whole sample */
    qsort(order, (size_t)n, sizeof *order, greater_first);
    for (int64_t i = 0; i < rest; i++)
        part[order[i].of]++;
    xfree(order);
}

/* Gives `count` places in n equal pieces to the workers first, first + step, ... */
static void give_equally(int32_t *owner, int64_t count, int n, int first, int step)
{
    for (int k = 0; k < n; k++)
        for (int64_t i = count * k / n; i < count * (k + 1) / n; i++)
            owner[i] = first + k * step;
}

static void give_in_proportion(int32_t *owner, int64_t count, const double *weight, int workers)
{
    int64_t *part = xcalloc((size_t)workers, sizeof *part);
    apportion(count, weight, workers, part);
    for (int w = 0; w < workers; w++)
        for (; part[w]; part[w]--)
            *owner++ = w;
    xfree(part);
}

static void deal_split(struct deal *d)
{
    give_equally(d->owner, d->count, d->o->workers, 0, 1);
}

static void deal_by_speed(struct deal *d)
{
    int workers = d->o->workers;
    double *speed = xcalloc((size_t)workers, sizeof *speed);
    for (int w = 0; w < workers; w++) {
        speed[w] = d->o->speeds ? d->o->speeds[w] : 1;
        assert(speed[w] > 0 && isfinite(speed[w]));
    }
    give_in_proportion(d->owner, d->count, speed, workers);
    xfree(speed);
}

/* Brings the list into the order of its labels; first[CLASSES + 1]. */
static void group(struct deal *d, int64_t *first)
{
    for (int64_t i = 0; i < d->count; i++)
        d->owner[i] = d->labels[d->list[i]];
    sort_by(d->owner, CLASSES, d->list, d->count, first);
}

static void deal_by_label(struct deal *d)
{
    int64_t first[CLASSES + 1];
    int32_t has[CLASSES]; /* the classes that have samples */
    int classes = 0, workers = d->o->workers;
    group(d, first);
    for (int c = 0; c < CLASSES; c++)
        if (first[c] < first[c + 1])
            has[classes++] = c;
    struct random r = random_at(RANDOM_SHARE, d->o->seed, KEY_CLASSES, 0, 0);
    random_shuffle(&r, has, classes);
    for (int j = 0; j < classes; j++) {
        int sharers = j < workers ? (workers - j + classes - 1) / classes : 1;
        int64_t from = first[has[j]], to = first[has[j] + 1];
        give_equally(d->owner + from, to - from, sharers, j % workers, classes);
    }
}

/* The logarithm of a gamma variate of this shape and scale 1 (Marsaglia and Tsang 2000). A shape a
 * < 1 is had from a + 1 and a uniform u, as G(a + 1) u^(1/a); in logarithms, because u^(1/a)
 * underflows: at a = 0.001 one in two is below 1e-300. */
static double draw_log_gamma(struct random *r, double shape)
{
    if (shape < 1) {
        double boost = log(1 - random_uniform(r)) / shape; /* 1 - u is never 0 */
        return draw_log_gamma(r, shape + 1) + boost;
    }
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = random_normal(r), root = 1 + c * x, v = root * root * root;
        double u = 1 - random_uniform(r);
        if (v > 0 && log(u) < 0.5 * x * x + d * (1 - v + log(v)))
            return log(d) + log(v);
    }
}

/* Gamma variates, divided by their sum, are a Dirichlet variate; apportion() divides. The greatest
 * is scaled to 1, so the sum is not 0. */
static void draw_weights(const struct partition_options *o, int label, double *weight)
{
    double greatest = -INFINITY;
    for (int w = 0; w < o->workers; w++) {
        struct random r = random_at(RANDOM_SHARE, o->seed, KEY_GAMMA, (uint64_t)label, (uint64_t)w);
        weight[w] = draw_log_gamma(&r, o->alpha);
        greatest = fmax(greatest, weight[w]);
    }
    for (int w = 0; w < o->workers; w++)
        weight[w] = exp(weight[w] - greatest);
}

static void deal_by_dirichlet(struct deal *d)
{
    int64_t first[CLASSES + 1];
    if (!(d->o->alpha >= 1e-9 && d->o->alpha <= 1e9))
        fatal("--dirichlet %g: take 1e-9 to 1e9; 0.1 is uneven, 100 nearly even", d->o->alpha);
    double *weight = xcalloc((size_t)d->o->workers, sizeof *weight);
    group(d, first);
    for (int c = 0; c < CLASSES; c++) {
        if (first[c] == first[c + 1])
            continue;
        draw_weights(d->o, c, weight);
        give_in_proportion(d->owner + first[c], first[c + 1] - first[c], weight, d->o->workers);
    }
    xfree(weight);
}

static const struct kind kinds[] = {
    {"split", deal_split, false, NULL},
    {"shared", NULL, false, NULL},
    {"label", deal_by_label, true,
     "its class has fewer samples than workers that share it; use fewer workers or more samples"},
    {"label-unscaled", deal_by_label, false,
     "its class has fewer samples than workers that share it; use fewer workers or more samples"},
    {"dirichlet", deal_by_dirichlet, false,
     "proportions so uneven were drawn; use a larger --dirichlet, fewer workers or another --seed"},
    {"speed", deal_by_speed, false,
     "it is too slow beside the others for a whole one; use smaller factors in --slow or more "
     "samples"},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

static const struct kind *kind_of(const char *name)
{
    char known[128] = "";
    for (int i = 0; i < KINDS; i++) {
        if (!strcmp(name ? name : kinds[0].name, kinds[i].name))
            return &kinds[i];
        strcat(strcat(known, i ? "|" : ""), kinds[i].name);
    }
    fatal("--partition: '%s' is not one of %s", name, known);
}

/* Keeps the first `wanted` samples of a share, of each class its part. The samples of a class stand
 * together in it. */
static void cut_share(int32_t *list, int64_t size, int64_t wanted, const uint8_t *labels)
{
    double length[CLASSES] = {0};
    int64_t from[CLASSES], part[CLASSES], kept = 0;
    int runs = 0;
    for (int64_t i = 0; i < size; i++) {
        if (!i || labels[list[i]] != labels[list[i - 1]]) {
            assert(runs < CLASSES);
            from[runs++] = i;
        }
        length[runs - 1]++;
    }
    apportion(wanted, length, runs, part);
    for (int k = 0; k < runs; kept += part[k++])
        memmove(list + kept, list + from[k], (size_t)part[k] * sizeof *list);
    assert(kept == wanted);
}

/* An empty share cuts nobody: it is to be refused, and it alone. */
static void cut_to_smallest(struct partition *p, const uint8_t *labels)
{
    int64_t smallest = p->count;
    for (int w = 0; w < p->options.workers; w++)
        smallest = p->size[w] < smallest ? p->size[w] : smallest;
    for (int w = 0; smallest && w < p->options.workers; w++) {
        cut_share(p->list + p->first[w], p->size[w], smallest, labels);
        p->size[w] = smallest;
    }
}

/* Fills list, first and size. */
static void deal(struct partition *p, const uint8_t *labels)
{
    int workers = p->options.workers;
    for (int64_t i = 0; i < p->count; i++)
        p->list[i] = (int32_t)i;
    struct random r = random_at(RANDOM_SHARE, p->options.seed, KEY_SAMPLES, 0, 0);
    random_shuffle(&r, p->list, p->count);
    if (!p->kind->deal) {
        for (int w = 0; w < workers; w++)
            p->size[w] = p->count;
        return;
    }
    struct deal d = {.o = &p->options, .labels = labels, .count = p->count, .list = p->list};
    d.owner = xcalloc((size_t)p->count, sizeof *d.owner);
    p->kind->deal(&d);
    sort_by(d.owner, workers, p->list, p->count, p->first);
    for (int w = 0; w < workers; w++)
        p->size[w] = p->first[w + 1] - p->first[w];
    xfree(d.owner);
    if (p->kind->cut)
        cut_to_smallest(p, labels);
}

struct partition *partition_open(const struct partition_options *o, const uint8_t *labels,
                                 int64_t count)
{
    assert(o->workers > 0 && count > 0 && count <= INT32_MAX);
    struct partition *p = xcalloc(1, sizeof *p);
    *p = (struct partition){.options = *o, .kind = kind_of(o->name), .count = count};
    p->options.name = p->kind->name;
    if (o->speeds) {
        double *speeds = xcalloc((size_t)o->workers, sizeof *speeds);
        p->options.speeds = memcpy(speeds, o->speeds, (size_t)o->workers * sizeof *speeds);
    }
    p->list = xcalloc((size_t)count, sizeof *p->list);
    p->first = xcalloc(2 * (size_t)o->workers + 1, sizeof *p->first);
    p->size = p->first + o->workers + 1;
    deal(p, labels);
    return p;
}

void partition_close(struct partition *p)
{
    xfree((void *)p->options.speeds);
    xfree(p->list);
    xfree(p->first);
    xfree(p);
}

bool partition_is(const struct partition *p, const struct partition_options *o)
{
    const struct partition_options *have = &p->options;
    return have->seed == o->seed && have->workers == o->workers && have->alpha == o->alpha &&
           kind_of(o->name) == p->kind && !have->speeds == !o->speeds &&
           (!o->speeds || !memcmp(have->speeds, o->speeds, (size_t)o->workers * sizeof *o->speeds));
}

const int32_t *partition_share(const struct partition *p, int worker, int64_t *count)
{
    assert(0 <= worker && worker < p->options.workers);
    *count = p->size[worker];
    return p->list + p->first[worker];
}

void partition_check(const struct partition *p)
{
    const struct partition_options *o = &p->options;
    if (p->kind->deal && p->count < o->workers)
        fatal("%lld training samples are too few for %d workers: some would have none; use fewer "
              "workers or more samples",
              (long long)p->count, o->workers);
    for (int w = 0; w < o->workers; w++)
        if (!p->size[w])
            fatal("--partition %s: worker %d of 0 .. %d would have no sample: %s", o->name, w,
                  o->workers - 1, p->kind->remedy);
}
