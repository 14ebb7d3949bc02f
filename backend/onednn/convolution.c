/* Each direction is opened in every algorithm that can do it. Each is verified and timed, the
 * fastest stays (choice.h stores it).
 *
 * No algorithm wins everywhere: direct, simd and winograd do in most shapes, oneDNN's on the images
 * themselves, its and OpenBLAS' in 1x1 kernels, and where this machine has no tiles (tile.h). The
 * time includes packing weights, and reading large tensors from memory. */
#include "backend/onednn/convolution.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "backend/onednn/verification.h"
#include "backend/onednn/algorithm.h"
#include "base/alloc.h"
#include "base/check.h"

static const char *const direction_name[DIRECTIONS] = {"forward", "data", "weights"};

enum {
    KEY_VERSION = 7, /* choices made among other algorithms, or timed otherwise, are not used */
    FEW_RUNS = 2,    /* to see that an algorithm is hopeless */
    MAX_RUNS = 7,    /* of one algorithm */
    SMALL_BYTES = 1 << 20,  /* of x and y: larger ones come from memory in each run */
    CACHE_BYTES = 32 << 20, /* that must be read so that they are forgotten */
    LINE = 64,
};
static const double ENOUGH_S = 0.1; /* of timing, for each algorithm that is left */
static const double HOPELESS = 1.2; /* so much slower than the best, after few runs */

struct convolution {
    struct algorithm algorithm[DIRECTIONS];
};

/* One thread is timed by its own clock, which stops while others have the core. */
static double seconds(int threads)
{
    struct timespec t;
    clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void write_key(char key[CHOICE_KEY], enum direction d, const struct unit_shape *s,
                      const struct layout *x, const struct layout *y)
{
    snprintf(key, CHOICE_KEY, "version %d: %s %d x %dx%dx%d to %dx%dx%d kernel %d/%d+%d",
             KEY_VERSION, direction_name[d], x->n, x->c, x->h, x->w, y->c, y->h, y->w, s->kernel,
             s->stride, s->pad);
}

/* Leaves little of the operands in the caches, as the other units of a step do. */
static void forget(const char *block)
{
    volatile char sink = 0;
    for (size_t i = 0; i < CACHE_BYTES; i += LINE)
        sink = block[i];
    (void)sink;
}

/* Its time is the best of some runs, since disturbances only add. */
struct candidate {
    struct algorithm algorithm;
    int which;
    double best_s;
};

static double time_of_run(const struct device *d, const struct algorithm *algorithm,
                          void *const operand[OPERANDS], const char *other)
{
    if (other)
        forget(other);
    double start = seconds(d->threads);
    algorithm_run(algorithm, operand, d->scratch);
    return seconds(d->threads) - start;
}

/* Opens all algorithms that pass verification, and returns how many; a reference implementation
 * only where there is nothing else. */
static int open_all(struct device *d, enum direction dir, const struct unit_shape *s,
                    const struct layout *x, const struct layout *y,
                    struct verification *verification, struct candidate candidate[ALGORITHMS])
{
    int count = 0;
    for (int w = ALGORITHMS - 1; w >= 0; w--) {
        struct algorithm algorithm;
        if (d->left_out[w])
            continue;
        if (!algorithm_open(&algorithm, w, d, dir, s, x, y) ||
            (count && algorithm_is_reference(&algorithm))) {
            algorithm_close(&algorithm);
            continue;
        }
        device_reserve(d, algorithm_scratch(&algorithm));
        memset(d->scratch, 0xff, algorithm_scratch(&algorithm));
        algorithm_run(&algorithm, verification_operands(verification), d->scratch);
        if (!verification_holds(verification)) {
            algorithm_close(&algorithm);
            continue;
        }
        if (count && algorithm_is_reference(&candidate[0].algorithm))
            algorithm_close(&candidate[--count].algorithm);
        candidate[count++] = (struct candidate){algorithm, w, 1e30};
    }
    return count;
}

/* Leaves the fastest in candidate[0], of `count`. Their runs are interleaved, so that a slow moment
 * of the machine meets them all. */
static void compare(const struct device *d, void *const operand[OPERANDS], const char *other,
                    struct candidate *candidate, int count)
{
    double begin = seconds(d->threads);
    for (int round = 0; round < MAX_RUNS && count > 1; round++) {
        for (int i = 0; i < count; i++) {
            double took = time_of_run(d, &candidate[i].algorithm, operand, other);
            candidate[i].best_s = took < candidate[i].best_s ? took : candidate[i].best_s;
        }
        for (int i = 1; i < count; i++)
            if (candidate[i].best_s < candidate[0].best_s) {
                struct candidate slower = candidate[0];
                candidate[0] = candidate[i];
                candidate[i] = slower;
            }
        bool last = round + 1 == MAX_RUNS || seconds(d->threads) - begin > ENOUGH_S * count;
        for (int i = count - 1; i > 0 && round + 1 >= FEW_RUNS; i--)
            if (last || candidate[i].best_s > HOPELESS * candidate[0].best_s) {
                algorithm_close(&candidate[i].algorithm);
                candidate[i] = candidate[--count];
            }
    }
}

/* Opens, verifies and times every algorithm; the fastest stays open. */
static int fastest(struct device *d, enum direction dir, const struct unit_shape *s,
                   const struct layout *x, const struct layout *y, struct algorithm *best)
{
    struct verification *verification = verification_open(dir, s, x, y);
    char *other = layout_bytes(x) + layout_bytes(y) > SMALL_BYTES ? xcalloc(CACHE_BYTES, 1) : NULL;
    struct candidate candidate[ALGORITHMS];
    int count = open_all(d, dir, s, x, y, verification, candidate);
    if (!count && d->restricted)
        fatal("--without leaves no algorithm for a %s convolution of %d x %dx%dx%d to %d channels, "
              "kernel %d; leave fewer out",
              direction_name[dir], x->n, x->c, x->h, x->w, y->c, s->kernel);
    CHECK(count,
          "oneDNN has no %s convolution of %d x %dx%dx%d to %d channels, kernel %d, stride %d, pad "
          "%d, that computes it",
          direction_name[dir], x->n, x->c, x->h, x->w, y->c, s->kernel, s->stride, s->pad);
    compare(d, verification_operands(verification), other, candidate, count);
    verification_close(verification);
    xfree(other);
    *best = candidate[0].algorithm;
    return candidate[0].which;
}

/* The fastest of all is the fastest of fewer, too. A choice among fewer is never stored in the
 * file. */
static void open_direction(struct algorithm *algorithm, struct device *d, enum direction dir,
                           const struct unit_shape *s, const struct layout *x,
                           const struct layout *y)
{
    char key[CHOICE_KEY];
    write_key(key, dir, s, x, y);
    const char *stored = d->restricted ? choices_find(d->restricted, key) : NULL;
    if (!stored)
        stored = choices_find(d->choices, key);
    for (int w = 0; stored && w < ALGORITHMS; w++)
        if (!strcmp(stored, algorithm_name(w)) && !d->left_out[w] &&
            algorithm_open(algorithm, w, d, dir, s, x, y))
            return;
    int which = fastest(d, dir, s, x, y, algorithm);
    choices_store(d->restricted ? d->restricted : d->choices, key, algorithm_name(which));
}

struct convolution *convolution_open(struct device *d, const struct unit_shape *s,
                                     const struct layout *x, const struct layout *y)
{
    struct convolution *c = xcalloc(1, sizeof *c);
    for (enum direction dir = 0; dir < DIRECTIONS; dir++)
        if (dir != BACKWARD_DATA || !s->first)
            open_direction(&c->algorithm[dir], d, dir, s, x, y);
    return c;
}

void convolution_close(struct convolution *c)
{
    if (!c)
        return;
    for (enum direction dir = 0; dir < DIRECTIONS; dir++)
        algorithm_close(&c->algorithm[dir]);
    xfree(c);
}

size_t convolution_scratch(const struct convolution *c)
{
    size_t most = 0;
    for (enum direction dir = 0; dir < DIRECTIONS; dir++)
        most = algorithm_scratch(&c->algorithm[dir]) > most ? algorithm_scratch(&c->algorithm[dir])
                                                            : most;
    return most;
}

void convolution_forward(struct convolution *c, const void *x, const float *w, void *y,
                         void *scratch)
{
    algorithm_run(&c->algorithm[FORWARD], (void *const[]){(void *)x, (void *)w, y}, scratch);
}

void convolution_backward_data(struct convolution *c, void *dx, const float *w, const void *dy,
                               void *scratch)
{
    algorithm_run(&c->algorithm[BACKWARD_DATA], (void *const[]){dx, (void *)w, (void *)dy},
                  scratch);
}

void convolution_backward_weights(struct convolution *c, const void *x, float *dw, const void *dy,
                                  void *scratch)
{
    algorithm_run(&c->algorithm[BACKWARD_WEIGHTS], (void *const[]){(void *)x, dw, (void *)dy},
                  scratch);
}
