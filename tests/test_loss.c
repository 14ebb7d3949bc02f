/* Is the loss of backends in host memory PyTorch's, and is a backend found by its name?
 *
 * PyTorch in double gives the values, finite differences the gradient. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/softmax.h"
#include "base/check.h"

static double checksum(const double *v, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += v[i] * cos((double)i);
    return sum;
}

static void expect(const char *name, const char *what, double is, double truth)
{
    if (!(fabs(is - truth) <= 1e-10 * (fabs(truth) + 1.0)))
        fail_msg("%s: %s is %.15g, PyTorch's %.15g", name, what, is, truth);
}

struct loss_truth {
    int classes;
    float smoothing;
    struct {
        double loss, dlogits;
    } sum;
};

static const struct loss_truth losses_by_pytorch[] = {
    {10, 0, {23.6930365379267, -0.399126848295055}},
    {10, 0.125, {22.7930365379267, -0.315706032405087}},
    {7, 0.25, {17.2084399887325, 0.279474542069548}},
    {2, 0.5, {10.6879134329837, 0.0908888584185072}},
};

enum { LOSS_BATCH = 4, MOST_CLASSES = 10 };

/* Eighths in [-4, 4), all different: exact in float, so that the sums can be compared to the last
 * digits of a double. */
static void fill_logits(int classes, float *logits, int32_t *labels)
{
    for (int i = 0; i < LOSS_BATCH * classes; i++)
        logits[i] = (float)(i * 37 % 64 - 32) / 8;
    for (int b = 0; b < LOSS_BATCH; b++)
        labels[b] = 3 * b % classes;
}

static void test_loss(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof losses_by_pytorch / sizeof *losses_by_pytorch; k++) {
        const struct loss_truth *truth = &losses_by_pytorch[k];
        int classes = truth->classes;
        float logits[LOSS_BATCH * MOST_CLASSES], gradient[LOSS_BATCH * MOST_CLASSES];
        double wide[LOSS_BATCH * MOST_CLASSES] = {0}, h = 0x1p-10;
        int32_t labels[LOSS_BATCH];
        struct loss loss, side[2];
        fill_logits(classes, logits, labels);
        softmax_loss(logits, labels, LOSS_BATCH, classes, truth->smoothing, gradient, &loss);
        expect("loss", "sum", loss.sum, truth->sum.loss);
        for (int i = 0; i < LOSS_BATCH * classes; i++) {
            float kept = logits[i];
            wide[i] = gradient[i];
            for (int s = 0; s < 2; s++) {
                logits[i] = kept + (float)(s ? -h : h); /* exact */
                softmax_loss(logits, labels, LOSS_BATCH, classes, truth->smoothing, NULL, &side[s]);
            }
            logits[i] = kept;
            double slope_here = (side[0].sum - side[1].sum) / (2 * h) / LOSS_BATCH;
            if (!(fabs(slope_here - wide[i]) < 1e-6))
                fail_msg("%d classes, smoothing %g: dlogits[%d] is %.9g, by differences %.9g",
                         classes, truth->smoothing, i, wide[i], slope_here);
        }
        assert_true(fabs(checksum(wide, (size_t)(LOSS_BATCH * classes)) - truth->sum.dlogits) <
                    1e-6);
    }
}

static struct loss loss_of(const float *logits, int classes, int32_t label)
{
    struct loss loss = {.sum = -1, .top1 = 77, .top5 = 77}; /* overwritten, not added to */
    softmax_loss(logits, &label, 1, classes, 0.1f, NULL, &loss);
    return loss;
}

static void expect_hits(struct loss loss, int top1, int top5)
{
    assert_int_equal(loss.top1, top1);
    assert_int_equal(loss.top5, top5);
}

static void test_hits(void **state)
{
    (void)state;
    const float row[] = {7, 6, 5, 4, 3, 2, 1}, tie[] = {1, 1, 0, 0, 0, 0, 0},
                huge[] = {3e38f, -3e38f, 0};
    expect_hits(loss_of(row, 7, 0), 1, 1);
    expect_hits(loss_of(row, 7, 1), 0, 1);
    expect_hits(loss_of(row, 7, 4), 0, 1);
    expect_hits(loss_of(row, 7, 5), 0, 0);
    expect_hits(loss_of(tie, 7, 1), 0, 1);
    expect_hits(loss_of(tie, 7, 6), 0, 0);
    expect_hits(loss_of(row, 3, 2), 0, 1);
    assert_true(isfinite(loss_of(huge, 3, 0).sum));
    for (int at = 0; at < 7; at++)
        for (int label = 0; label < 7; label++)
            for (int classes = 7; classes > 2; classes -= 4) {
                float sick[7];
                memcpy(sick, row, sizeof sick);
                sick[at] = NAN;
                if (at >= classes || label >= classes)
                    continue;
                struct loss loss = loss_of(sick, classes, label);
                assert_true(isnan(loss.sum));
                expect_hits(loss, 0, 0);
            }
}

/* What the user reads when there is no such backend: the exit code, and the line on stderr. */
static int exit_of_find(const char *name, enum backend_dtype dtype, char *line, size_t size)
{
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (!child) {
        dup2(ends[1], STDERR_FILENO);
        backend_find(name, dtype);
        _exit(0);
    }
    close(ends[1]);
    ssize_t got = read(ends[0], line, size - 1);
    line[got > 0 ? got : 0] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_find(void **state)
{
    (void)state;
    char line[400];
    assert_string_equal(backend_find("ref", DTYPE_F32)->name, "ref");
    int fastest = 0;
    while (!backends[fastest]->has(DTYPE_F32))
        fastest++;
    assert_ptr_equal(backend_find("auto", DTYPE_F32), backends[fastest]);
    for (int i = 0; backends[i]; i++)
        if (backends[i]->has(DTYPE_F32))
            assert_ptr_equal(backend_find(backends[i]->name, DTYPE_F32), backends[i]);
    assert_int_equal(exit_of_find("abacus", DTYPE_F32, line, sizeof line), EXIT_USER);
    assert_non_null(strstr(line, "unknown backend 'abacus'"));
    assert_non_null(strstr(line, "ref"));
    assert_int_equal(exit_of_find("ref", DTYPE_BF16, line, sizeof line), EXIT_USER);
    assert_non_null(strstr(line, "does not run bf16"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_hits),
        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests_name("loss", tests, NULL, NULL);
}
