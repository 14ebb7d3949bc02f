/* Softmax cross-entropy with label smoothing s, as PyTorch defines it: with p = softmax(logits), a
 * sample's loss is -(1 - s) log p[label] - s mean(log p), and the target that p is pulled to is (1
 * - s) at the label plus s / classes everywhere.
 *
 * Every sum is a double. Cost: two exponentials a logit, three passes over a row that lies in the
 * first cache. Source: Szegedy et al. 2016, section 7. */
#include "backend/softmax.h"

#include <assert.h>
#include <math.h>

/* log(sum(exp(row))), from the greatest on, so that nothing overflows; NaN when a logit is. */
static double log_sum_exp(const float *row, int classes)
{
    double greatest = row[0], sum = 0; /* at least 1 in the end: the greatest adds exp(0) */
    for (int c = 1; c < classes; c++)
        greatest = row[c] > greatest ? row[c] : greatest;
    for (int c = 0; c < classes; c++)
        sum += exp(row[c] - greatest);
    // cppcheck-suppress invalidFunctionArg
    return greatest + log(sum);
}

/* How many other classes are not below the label's. */
static int ahead(const float *row, int classes, int label)
{
    int count = 0;
    for (int c = 0; c < classes; c++)
        count += c != label && row[c] >= row[label];
    return count;
}

void softmax_loss(const float *logits, const int32_t *labels, int batch, int classes,
                  float smoothing, float *dlogits, struct loss *sums)
{
    double floor = (double)smoothing / classes, peak = 1.0 - (double)smoothing;
    *sums = (struct loss){0};
    for (int b = 0; b < batch; b++) {
        const float *row = logits + (int64_t)b * classes;
        int label = labels[b];
        assert(label >= 0 && label < classes);
        double all = log_sum_exp(row, classes), total = 0;
        for (int c = 0; c < classes; c++)
            total += all - row[c];
        sums->sum += peak * (all - row[label]) + floor * total;
        if (!isnan(all)) {
            int place = ahead(row, classes, label);
            sums->top1 += place < 1;
            sums->top5 += place < 5;
        }
        for (int c = 0; dlogits && c < classes; c++)
            dlogits[(int64_t)b * classes + c] =
                (float)((exp(row[c] - all) - floor - (c == label ? peak : 0.0)) / batch);
    }
}
