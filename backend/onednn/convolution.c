/* Each direction is opened in every way that can do it, each is proved and timed, the fastest stays
 * (choice.h remembers it).
 *
 * No one way wins everywhere: ours do in most places, oneDNN's on the images themselves, its and
 * OpenBLAS' in 1x1 kernels, and where this machine has no tiles (tile.h). The time includes
 * bringing weights and activations to the way's layout and back, and, where they are large, from
 * memory. */
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
    KEY_VERSION = 6,        /* choices made among other ways, or timed otherwise, are not used */
    FEW_RUNS = 2,           /* to see that a way is hopeless */
    MAX_RUNS = 7,           /* of one way */
    SMALL_BYTES = 1 << 20,  /* of x and y: larger ones come from memory in each run */
    CACHE_BYTES = 32 << 20, /* that must be read so that they are forgotten */
    LINE = 64,
};
static const double ENOUGH_S = 0.1; /* of timing, for each way that is left */
static const double HOPELESS = 1.2; /* so much slower than the best, after few runs */

struct convolution {
    struct way way[DIRECTIONS];
};

/* One thread is timed by its own clock, which stands still while others have the core. */
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

/* A way that is tried; its time is the best of some runs, since what disturbs only adds. */
struct trial {
    struct way way;
    int which;
    double best_s;
};

static double time_of_run(const struct device *d, const struct way *way,
                          void *const operand[OPERANDS], const char *other)
{
    if (other)
        forget(other);
    double start = seconds(d->threads);
    way_run(way, operand, d->scratch);
    return seconds(d->threads) - start;
}

/* Opens all ways that compute the right thing, and returns how many; a reference implementation
 * only where there is nothing else. */
static int open_all(struct device *d, enum direction dir, const struct unit_shape *s,
                    const struct layout *x, const struct layout *y, struct proof *proof,
                    struct trial trial[WAYS])
{
    int count = 0;
    for (int w = WAYS - 1; w >= 0; w--) {
        struct way way;
        if (!way_open(&way, w, d, dir, s, x, y) || (count && way_is_reference(&way))) {
            way_close(&way);
            continue;
        }
        device_reserve(d, way_scratch(&way));
        memset(d->scratch, 0xff, way_scratch(&way));
        way_run(&way, proof_operands(proof), d->scratch);
        if (!proof_holds(proof)) {
            way_close(&way);
            continue;
        }
        if (count && way_is_reference(&trial[0].way))
            way_close(&trial[--count].way);
        trial[count++] = (struct trial){way, w, 1e30};
    }
    return count;
}

/* Leaves the fastest in trial[0], of `count`. They run by turns, so that a slow moment of the
 * machine meets them all. */
static void compare(const struct device *d, void *const operand[OPERANDS], const char *other,
                    struct trial *trial, int count)
{
    double begin = seconds(d->threads);
    for (int round = 0; round < MAX_RUNS && count > 1; round++) {
        for (int i = 0; i < count; i++) {
            double took = time_of_run(d, &trial[i].way, operand, other);
            trial[i].best_s = took < trial[i].best_s ? took : trial[i].best_s;
        }
        for (int i = 1; i < count; i++)
            if (trial[i].best_s < trial[0].best_s) {
                struct trial slower = trial[0];
                trial[0] = trial[i];
                trial[i] = slower;
            }
        bool last = round + 1 == MAX_RUNS || seconds(d->threads) - begin > ENOUGH_S * count;
        for (int i = count - 1; i > 0 && round + 1 >= FEW_RUNS; i--)
            if (last || trial[i].best_s > HOPELESS * trial[0].best_s) {
                way_close(&trial[i].way);
                trial[i] = trial[--count];
            }
    }
}

/* Opens every way, proves and times it, keeps the fastest. */
static int fastest(struct device *d, enum direction dir, const struct unit_shape *s,
                   const struct layout *x, const struct layout *y, struct way *best)
{
    struct proof *proof = proof_open(dir, s, x, y);
    char *other = layout_bytes(x) + layout_bytes(y) > SMALL_BYTES ? xcalloc(CACHE_BYTES, 1) : NULL;
    struct trial trial[WAYS];
    int count = open_all(d, dir, s, x, y, proof, trial);
    CHECK(count,
          "oneDNN has no %s convolution of %d x %dx%dx%d to %d channels, kernel %d, stride %d, pad "
          "%d, that computes it",
          direction_name[dir], x->n, x->c, x->h, x->w, y->c, s->kernel, s->stride, s->pad);
    compare(d, proof_operands(proof), other, trial, count);
    proof_close(proof);
    xfree(other);
    *best = trial[0].way;
    return trial[0].which;
}

static void open_direction(struct way *way, struct device *d, enum direction dir,
                           const struct unit_shape *s, const struct layout *x,
                           const struct layout *y)
{
    char key[CHOICE_KEY];
    write_key(key, dir, s, x, y);
    const char *kept = choices_find(d->choices, key);
    for (int w = 0; kept && w < WAYS; w++)
        if (!strcmp(kept, way_name(w)) && way_open(way, w, d, dir, s, x, y))
            return;
    int which = fastest(d, dir, s, x, y, way);
    choices_keep(d->choices, key, way_name(which));
}

struct convolution *convolution_open(struct device *d, const struct unit_shape *s,
                                     const struct layout *x, const struct layout *y)
{
    struct convolution *c = xcalloc(1, sizeof *c);
    for (enum direction dir = 0; dir < DIRECTIONS; dir++)
        if (dir != BACKWARD_DATA || !s->first)
            open_direction(&c->way[dir], d, dir, s, x, y);
    return c;
}

void convolution_close(struct convolution *c)
{
    if (!c)
        return;
    for (enum direction dir = 0; dir < DIRECTIONS; dir++)
        way_close(&c->way[dir]);
    xfree(c);
}

size_t convolution_scratch(const struct convolution *c)
{
    size_t most = 0;
    for (enum direction dir = 0; dir < DIRECTIONS; dir++)
        most = way_scratch(&c->way[dir]) > most ? way_scratch(&c->way[dir]) : most;
    return most;
}

void convolution_forward(struct convolution *c, const void *x, const float *w, void *y,
                         void *scratch)
{
    way_run(&c->way[FORWARD], (void *const[]){(void *)x, (void *)w, y}, scratch);
}

void convolution_backward_data(struct convolution *c, void *dx, const float *w, const void *dy,
                               void *scratch)
{
    way_run(&c->way[BACKWARD_DATA], (void *const[]){dx, (void *)w, (void *)dy}, scratch);
}

void convolution_backward_weights(struct convolution *c, const void *x, float *dw, const void *dy,
                                  void *scratch)
{
    way_run(&c->way[BACKWARD_WEIGHTS], (void *const[]){(void *)x, dw, (void *)dy}, scratch);
}
