/* A rule names an owner for each sample; one counting sort then puts each worker's samples into one
 * piece.
 *
 * Cost: 10 ns per sample (half of it the shuffle), for dirichlet 160 ns per class and worker more;
 * 12 bytes of memory a sample while it is made, 4 after that. The sorts are stable: within a class
 * and a shard all samples stay in the order of the one shuffle. */
#include "data_loader/partition.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "base/text.h"
#include "data_loader/data_loader.h"
#include "data_loader/partition/kinds.h"

static const struct partition_kind *const kinds[] = {
#define ENTRY(name) &partition_##name,
    PARTITIONS(ENTRY)
#undef ENTRY
};

enum { KINDS = sizeof kinds / sizeof *kinds };

struct partition {
    struct partition_options options; /* name: the rule's; speeds, own: copies */
    const struct partition_kind *kind;
    int64_t count;
    int32_t *list;         /* [count] */
    int64_t *first, *size; /* [workers] each: where a shard begins in it, and how long it is */
};

const char *partition_names(char *text, size_t size)
{
    size_t used = 0;
    *text = 0;
    for (int i = 0; i < KINDS && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? "|" : "", kinds[i]->name);
    return text;
}

void partition_list(FILE *to)
{
    for (int i = 0; i < KINDS; i++)
        text_member(to, kinds[i]->name, kinds[i]->summary, kinds[i]->paper);
}

int partition_option_sets(const struct option_set **list, int room)
{
    int count = 0;
    for (int i = 0; i < KINDS; i++)
        if (kinds[i]->options && count < room)
            list[count++] = kinds[i]->options;
    return count;
}

static const struct partition_kind *kind_of(const char *name)
{
    char known[256];
    for (int i = 0; i < KINDS; i++)
        if (!strcmp(name ? name : kinds[0]->name, kinds[i]->name))
            return kinds[i];
    fatal("--partition: '%s' is not one of %s", name, partition_names(known, sizeof known));
}

const struct option_set *partition_option_set(const char *name)
{
    return kind_of(name)->options;
}

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
static void apportion(int64_t total, const double *weight, int n, int64_t *count)
{
    struct remainder *order = xcalloc((size_t)n, sizeof *order);
    double sum = 0;
    int64_t rest = total;
    for (int i = 0; i < n; i++)
        sum += weight[i];
    for (int i = 0; i < n; i++) {
        double exact = (double)total * weight[i] / sum;
        count[i] = (int64_t)exact;
        rest -= count[i];
        order[i] = (struct remainder){.rest = exact - (double)count[i], .of = i};
    }
    assert(0 <= rest && rest <= n); /* roundings are too small to lose or make a whole sample */
    qsort(order, (size_t)n, sizeof *order, greater_first);
    for (int64_t i = 0; i < rest; i++)
        count[order[i].of]++;
    xfree(order);
}

void deal_equally(int32_t *owner, int64_t count, int n, int first, int step)
{
    for (int k = 0; k < n; k++)
        for (int64_t i = count * k / n; i < count * (k + 1) / n; i++)
            owner[i] = first + k * step;
}

void deal_in_proportion(int32_t *owner, int64_t count, const double *weight, int workers)
{
    int64_t *left = xcalloc((size_t)workers, sizeof *left);
    apportion(count, weight, workers, left);
    for (int w = 0; w < workers; w++)
        for (; left[w]; left[w]--)
            *owner++ = w;
    xfree(left);
}

void deal_group(struct deal *d, int64_t *first)
{
    for (int64_t i = 0; i < d->count; i++)
        d->owner[i] = d->labels[d->list[i]];
    sort_by(d->owner, d->classes, d->list, d->count, first);
}

/* Cuts a shard to `wanted` samples, each class in proportion: its first ones stay. The samples of a
 * class lie together in it. */
static void cut_shard(int32_t *list, int64_t size, int64_t wanted, const int32_t *labels,
                      int classes)
{
    double *length = xcalloc((size_t)classes, sizeof *length);
    int64_t *from = xcalloc(2 * (size_t)classes, sizeof *from), *taken = from + classes, count = 0;
    int runs = 0;
    for (int64_t i = 0; i < size; i++) {
        if (!i || labels[list[i]] != labels[list[i - 1]]) {
            assert(runs < classes);
            from[runs++] = i;
        }
        length[runs - 1]++;
    }
    apportion(wanted, length, runs, taken);
    for (int k = 0; k < runs; count += taken[k++])
        memmove(list + count, list + from[k], (size_t)taken[k] * sizeof *list);
    assert(count == wanted);
    xfree(from);
    xfree(length);
}

/* An empty shard cuts nobody: it is to be refused, and it alone. */
static void cut_to_smallest(struct partition *p, const int32_t *labels, int classes)
{
    int64_t smallest = p->count;
    for (int w = 0; w < p->options.workers; w++)
        smallest = p->size[w] < smallest ? p->size[w] : smallest;
    for (int w = 0; smallest && w < p->options.workers; w++) {
        cut_shard(p->list + p->first[w], p->size[w], smallest, labels, classes);
        p->size[w] = smallest;
    }
}

static int classes_of(const int32_t *labels, int64_t count)
{
    int32_t greatest = 0;
    for (int64_t i = 0; i < count; i++) {
        assert(labels[i] >= 0);
        greatest = labels[i] > greatest ? labels[i] : greatest;
    }
    return greatest + 1;
}

/* Fills list, first and size. */
static void deal(struct partition *p, const int32_t *labels)
{
    int workers = p->options.workers;
    for (int64_t i = 0; i < p->count; i++)
        p->list[i] = (int32_t)i;
    struct random r = random_at(RANDOM_SHARD, p->options.seed, KEY_SAMPLES, 0, 0);
    random_shuffle(&r, p->list, p->count);
    if (!p->kind->deal) {
        for (int w = 0; w < workers; w++)
            p->size[w] = p->count;
        return;
    }
    struct deal d = {.o = &p->options,
                     .labels = labels,
                     .classes = classes_of(labels, p->count),
                     .count = p->count,
                     .list = p->list};
    d.owner = xcalloc((size_t)p->count, sizeof *d.owner);
    p->kind->deal(&d);
    sort_by(d.owner, workers, p->list, p->count, p->first);
    for (int w = 0; w < workers; w++)
        p->size[w] = p->first[w + 1] - p->first[w];
    xfree(d.owner);
    if (p->kind->cut)
        cut_to_smallest(p, labels, d.classes);
}

struct partition *partition_open(const struct partition_options *o, const int32_t *labels,
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
    assert(!p->kind->options || o->own);
    if (p->kind->options) {
        void *own = xcalloc(1, p->kind->options->size);
        p->options.own = memcpy(own, o->own, p->kind->options->size);
    }
    p->list = xcalloc((size_t)count, sizeof *p->list);
    p->first = xcalloc(2 * (size_t)o->workers + 1, sizeof *p->first);
    p->size = p->first + o->workers + 1;
    deal(p, labels);
    return p;
}

void partition_close(struct partition *p)
{
    if (p->kind->options)
        xfree((void *)p->options.own);
    xfree((void *)p->options.speeds);
    xfree(p->list);
    xfree(p->first);
    xfree(p);
}

bool partition_is(const struct partition *p, const struct partition_options *o)
{
    const struct partition_options *have = &p->options;
    return have->seed == o->seed && have->workers == o->workers && kind_of(o->name) == p->kind &&
           !have->speeds == !o->speeds &&
           (!o->speeds ||
            !memcmp(have->speeds, o->speeds, (size_t)o->workers * sizeof *o->speeds)) &&
           (!p->kind->options || !memcmp(have->own, o->own, p->kind->options->size));
}

const int32_t *partition_shard(const struct partition *p, int worker, int64_t *count)
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
