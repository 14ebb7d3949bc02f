/* DropCompute's tau from the times of some steps. Cost: sorting all times. */
#include "scheme/dropcompute.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"

static const double equal = 1e-6;  /* relative: what is nearer to the best is as good */
static const double margin = 1e-6; /* relative: a mini-batch that ends at tau is kept */

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

struct step {
    double slowest_s, sum_s;
};

static struct step step_of(const float *seconds, int workers, int minibatches)
{
    struct step s = {.sum_s = INFINITY};
    for (int i = 0; i < workers; i++, seconds += minibatches + 1) {
        for (int m = 0; m < minibatches; m++)
            s.slowest_s = fmax(s.slowest_s, seconds[m]);
        s.sum_s = fmin(s.sum_s, seconds[minibatches]);
    }
    return s;
}

/* Mini-batches a second, had this been tau. */
static double rate_at(double tau, const struct step *step, int steps, double kept)
{
    double total_s = 0;
    for (int k = 0; k < steps; k++)
        total_s += fmin(tau, step[k].slowest_s) + step[k].sum_s;
    return kept / total_s;
}

double dropcompute_tau(const float *seconds, int steps, int workers, int minibatches, double least)
{
    size_t each = (size_t)workers * (size_t)(minibatches + 1), count = 0;
    float *ends = xcalloc((size_t)steps * each, sizeof *ends);
    struct step *step = xcalloc((size_t)steps, sizeof *step);
    for (int k = 0; k < steps; k++) {
        step[k] = step_of(seconds + (size_t)k * each, workers, minibatches);
        for (size_t i = 0; i < each; i++)
            if (i % (size_t)(minibatches + 1) != (size_t)minibatches)
                ends[count++] = seconds[(size_t)k * each + i];
    }
    qsort(ends, count, sizeof *ends, by_size);
    double best = 0, tau = INFINITY;
    size_t first = (size_t)ceil(least * (double)count);
    for (size_t i = first > 0 ? first - 1 : 0; i < count; i++)
        best = fmax(best, rate_at(ends[i], step, steps, (double)(i + 1)));
    for (size_t i = first > 0 ? first - 1 : 0; i < count; i++)
        if (rate_at(ends[i], step, steps, (double)(i + 1)) >= best * (1 - equal))
            tau = ends[i] * (1 + margin);
    xfree(ends);
    xfree(step);
    return tau;
}
