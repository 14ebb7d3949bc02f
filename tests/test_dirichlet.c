/* Are the proportions of partition dirichlet a Dirichlet distribution's? Seeds are fixed: what
 * holds once holds always. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "data_loader/partition.h"

enum { SAMPLES = 1000 };

/* Parts of samples of these labels that each worker gets. */
static void draw(double alpha, int workers, uint64_t seed, const int32_t *labels, double *part)
{
    struct partition *p =
        partition_open(&(struct partition_options){.name = "dirichlet",
                                                   .seed = seed,
                                                   .workers = workers,
                                                   .own = &(struct dirichlet_options){alpha}},
                       labels, SAMPLES);
    for (int w = 0; w < workers; w++) {
        int64_t count;
        partition_shard(p, w, &count);
        part[w] = (double)count / SAMPLES;
    }
    partition_close(p);
}

/* Mean 1 / W, variance (1 / W) (1 - 1 / W) / (W alpha + 1), also where most variates are too small
 * for a double. */
static void moments_are_right(void **state)
{
    (void)state;
    enum { DRAWS = 1000, WORKERS = 5 };
    const int32_t labels[SAMPLES] = {0};
    const double alphas[] = {1e-9, 1e-6, 0.001, 0.02, 0.3, 0.999, 1, 4, 50};
    for (int k = 0; k < 9; k++) {
        double sum[WORKERS] = {0}, squares[WORKERS] = {0}, part[WORKERS],
               variance = 0.2 * 0.8 / (WORKERS * alphas[k] + 1);
        for (uint64_t seed = 0; seed < DRAWS; seed++) {
            draw(alphas[k], WORKERS, seed, labels, part);
            for (int w = 0; w < WORKERS; w++) {
                sum[w] += (part[w] - 0.2) / DRAWS;
                squares[w] += (part[w] - 0.2) * (part[w] - 0.2) / DRAWS;
            }
        }
        for (int w = 0; w < WORKERS; w++)
            if (fabs(sum[w]) > 4.5 * sqrt(variance / DRAWS) ||
                fabs(squares[w] / variance - 1) > 0.25)
                fail_msg("alpha %g, worker %d: mean %+.4f from 0.2, variance %.6f instead of %.6f",
                         alphas[k], w, sum[w], squares[w], variance);
    }
}

static double uniform(double x)
{
    return x;
}

static double arcsine(double x)
{
    return 2 / M_PI * asin(sqrt(x));
}

static double parabola(double x)
{
    return x * x * (3 - 2 * x);
}

static int smaller_first(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Of two workers the one's part is Beta(alpha, alpha), for three of them a plain function:
 * Kolmogorov and Smirnov's distance to it. */
static void the_shape_is_right(void **state)
{
    (void)state;
    enum { DRAWS = 20000 };
    static const struct {
        double alpha, (*below)(double);
    } cases[] = {{0.5, arcsine}, {1, uniform}, {2, parabola}};
    const int32_t labels[SAMPLES] = {0};
    double *parts = xcalloc(DRAWS, sizeof *parts);
    for (int k = 0; k < 3; k++) {
        for (uint64_t seed = 0; seed < DRAWS; seed++) {
            double part[2];
            draw(cases[k].alpha, 2, seed, labels, part);
            parts[seed] = part[0];
        }
        qsort(parts, DRAWS, sizeof *parts, smaller_first);
        double distance = 0;
        for (int i = 0; i < DRAWS; i++)
            if (i + 1 == DRAWS ||
                parts[i] < parts[i + 1]) /* a count stands for all parts that are rounded to it */
                distance = fmax(distance, fabs((i + 1.0) / DRAWS -
                                               cases[k].below(fmin(1, parts[i] + 0.5 / SAMPLES))));
        if (distance > 1.63 / sqrt(DRAWS)) /* one set of seeds in a hundred is beyond it */
            fail_msg("alpha %g: the distribution is off by %.4f", cases[k].alpha, distance);
    }
    xfree(parts);
}

/* Owners of class c in by_class[workers][10]. */
static int owners_of(int c, int64_t (*by_class)[10], int workers)
{
    int owners = 0;
    for (int w = 0; w < workers; w++)
        owners += by_class[w][c] > 0;
    return owners;
}

/* alpha = 1e-9: each class has one owner, and not all have the same; alpha = 1e9: each worker has 1
 * / W of each, to a sample. */
static void from_one_sided_to_even(void **state)
{
    (void)state;
    int32_t labels[SAMPLES];
    for (int i = 0; i < SAMPLES; i++)
        labels[i] = i * 7 % 10;
    for (int k = 0; k < 40; k++) {
        int workers = 1 + k % 20;
        bool even = k < 20;
        int64_t by_class[20][10] = {0}, count, greatest = 0;
        struct partition *p = partition_open(
            &(struct partition_options){.name = "dirichlet",
                                        .seed = 3,
                                        .workers = workers,
                                        .own = &(struct dirichlet_options){even ? 1e9 : 1e-9}},
            labels, SAMPLES);
        for (int w = 0; w < workers; w++) {
            const int32_t *mine = partition_shard(p, w, &count);
            greatest = count > greatest ? count : greatest;
            for (int64_t i = 0; i < count; i++)
                by_class[w][labels[mine[i]]]++;
            for (int c = 0; even && c < 10; c++)
                assert_true(fabs((double)by_class[w][c] - 100.0 / workers) < 1.1);
        }
        for (int c = 0; !even && c < 10; c++)
            assert_int_equal(owners_of(c, by_class, workers), 1);
        assert_true(even || workers < 5 || greatest < SAMPLES);
        partition_close(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_are_right),
        cmocka_unit_test(the_shape_is_right),
        cmocka_unit_test(from_one_sided_to_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
