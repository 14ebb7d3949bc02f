/* Vector work beside the machine's memory: each kind of work in turn, round after round, on as many
 * floats as ResNet-50 has.
 *
 *   vectors [--csv] [--rounds N]                    1 thread, then all cores
 *   vectors --turns [--threads N] [--mb SIZE]       the triad alone, SIZE MB of vectors (turns.h)
 *
 * The limit is the triad a = b + s c of STREAM (McCalpin 1995). Bytes are those that move: a line
 * that is overwritten is read first, so the triad moves four floats per element. Work that writes
 * past the caches can come out above 1. */
#include <getopt.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/simd.h"
#include "bench/turns.h"
#include "optimizer/optimizer.h"

enum { COUNT = 23520842, SOURCES = 4, KINDS = 6, MOST_ROUNDS = 1000 };

struct vectors {
    int64_t count; /* of the triad */
    float *w, *g, *source[SOURCES];
    struct optimizer *optimizer;
    int threads;
};

SIMD_LOOP triad_loop(float *restrict a, const float *restrict b, const float *restrict c,
                     int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        a[i] = b[i] + 0.5f * c[i];
}

SIMD(triad, (float *a, const float *b, const float *c, int64_t count), (a, b, c, count))

static void do_triad(struct vectors *v)
{
#pragma omp parallel for num_threads(v->threads) schedule(static)
    for (int part = 0; part < v->threads; part++) {
        int64_t from = v->count * part / v->threads, to = v->count * (part + 1) / v->threads;
        triad(v->g + from, v->source[0] + from, v->source[1] + from, to - from);
    }
}

static void do_step(struct vectors *v)
{
    optimizer_step(v->optimizer, v->w, v->g, 1e-3);
}

static const double quarter[SOURCES] = {0.25, 0.25, 0.25, 0.25};

static void do_step_sum(struct vectors *v)
{
    optimizer_step_sum(v->optimizer, v->w, NULL, (const float *const *)v->source, quarter, SOURCES,
                       1e-3);
}

static void do_sum(struct vectors *v)
{
    vector_sum(v->g, (const float *const *)v->source, quarter, SOURCES, COUNT, v->threads);
}

static void do_add(struct vectors *v)
{
    vector_add(v->source[3], v->source[2], COUNT, v->threads);
}

static void do_copy(struct vectors *v)
{
    vector_copy(v->source[1], v->source[0], COUNT, v->threads);
}

static const struct {
    const char *name;
    void (*work)(struct vectors *);
    int floats; /* that move, an element */
} kinds[KINDS] = {{"triad", do_triad, 4},
                  {"sgd step with momentum", do_step, 5},
                  {"the same from 4 gradients", do_step_sum, 8},
                  {"sum of 4 vectors", do_sum, 6},
                  {"add", do_add, 3},
                  {"copy", do_copy, 3}};

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_row(int k, int threads, double *speed, double *share, int rounds, bool csv)
{
    qsort(speed, (size_t)rounds, sizeof *speed, by_size);
    qsort(share, (size_t)rounds, sizeof *share, by_size);
    int middle = rounds / 2, last = rounds - 1;
    if (csv)
        printf("%s,%d,%.3f,%.3f,%.3f,%.4f,%.4f,%.4f\n", kinds[k].name, threads, speed[middle],
               speed[0], speed[last], share[middle], share[0], share[last]);
    else
        printf(
            "%-26s %2d thread%s %7.2f GB/s (%.2f .. %.2f) %6.2f x triad (%.2f .. %.2f) %7.2f ms\n",
            kinds[k].name, threads, threads > 1 ? "s" : " ", speed[middle], speed[0], speed[last],
            share[middle], share[0], share[last], 4e-6 * kinds[k].floats * COUNT / speed[middle]);
}

static void measure(struct vectors *v, int rounds, bool csv)
{
    double(*speed)[MOST_ROUNDS] = xcalloc(KINDS, sizeof *speed),
    (*share)[MOST_ROUNDS] = xcalloc(KINDS, sizeof *share);
    v->optimizer = optimizer_open(
        &(struct optimizer_options){
            .rule = "sgd", .momentum = 0.9, .decay = 1e-4, .threads = v->threads},
        (struct range){0, COUNT}, NULL, 0);
    for (int round = -1; round < rounds; round++) /* the first maps and warms */
        for (int k = 0; k < KINDS; k++) {
            double begin = turns_now();
            kinds[k].work(v);
            double now = 4e-9 * kinds[k].floats * COUNT / (turns_now() - begin);
            int at = round < 0 ? 0 : round;
            speed[k][at] = now;
            share[k][at] = now / speed[0][at];
        }
    for (int k = 0; k < KINDS; k++)
        print_row(k, v->threads, speed[k], share[k], rounds, csv);
    optimizer_close(v->optimizer);
    xfree(speed);
    xfree(share);
}

/* GB/s of one triad. */
static double measure_triad(void *self)
{
    struct vectors *v = self;
    double begin = turns_now();
    do_triad(v);
    return 16e-9 * (double)v->count / (turns_now() - begin);
}

static void serve_turns(struct vectors *v)
{
    v->g = xcalloc((size_t)v->count, sizeof *v->g);
    for (int i = 0; i < 2; i++)
        v->source[i] = xcalloc((size_t)v->count, sizeof *v->source[i]);
    measure_triad(v);
    printf("ready floats=%lld\n", (long long)v->count);
    fflush(stdout);
    turns_serve(measure_triad, v);
    for (int i = 0; i < 2; i++)
        xfree(v->source[i]);
    xfree(v->g);
}

int main(int argc, char **argv)
{
    static const struct option words[] = {{"csv", 0, NULL, 'c'},   {"rounds", 1, NULL, 'r'},
                                          {"turns", 0, NULL, 'T'}, {"threads", 1, NULL, 't'},
                                          {"mb", 1, NULL, 'm'},    {0}};
    struct vectors v = {.count = COUNT, .threads = 1};
    int cores = (int)sysconf(_SC_NPROCESSORS_ONLN), rounds = 15, word;
    bool csv = false, turns = false;
    while ((word = getopt_long(argc, argv, "", words, NULL)) != -1) {
        if (word == '?')
            return EXIT_USER;
        csv = csv || word == 'c';
        rounds = word == 'r' ? atoi(optarg) : rounds;
        turns = turns || word == 'T';
        v.threads = word == 't' ? atoi(optarg) : v.threads;
        v.count = word == 'm' ? (int64_t)atoi(optarg) * 1000000 / 12 : v.count;
    }
    if (rounds < 1 || rounds > MOST_ROUNDS)
        fatal("--rounds: take 1 to %d", MOST_ROUNDS);
    if (v.threads < 1 || v.threads > 1024 || v.count < 1)
        fatal("--threads or --mb is out of range");
    if (turns) {
        serve_turns(&v);
        return 0;
    }
    v.w = xcalloc(COUNT, sizeof *v.w);
    v.g = xcalloc(COUNT, sizeof *v.g);
    for (int i = 0; i < SOURCES; i++)
        v.source[i] = xcalloc(COUNT, sizeof *v.source[i]);
    for (v.threads = 1; v.threads <= cores; v.threads += v.threads < cores ? cores - 1 : 1)
        measure(&v, rounds, csv);
    for (int i = 0; i < SOURCES; i++)
        xfree(v.source[i]);
    xfree(v.w);
    xfree(v.g);
    return 0;
}
