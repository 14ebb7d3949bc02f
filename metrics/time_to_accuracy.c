/* Time to accuracy, of the rows of a run.
 *
 * A single evaluation that crosses a threshold may be luck: its top-1 has the noise of the weights
 * and of the test images. So a crossing counts when the next evaluation of other weights is at or
 * above the threshold, too. */
#include <math.h>

#include "metrics/metrics.h"

/* Between the evaluation before and this one, which is at or above the threshold. */
static double crossing_s(const struct evaluation *list, int i, double threshold)
{
    const struct evaluation *at = &list[i], *before = at - 1;
    if (i == 0 || before->top1 >= threshold)
        return at->seconds;
    return before->seconds +
           (at->seconds - before->seconds) * (threshold - before->top1) / (at->top1 - before->top1);
}

static bool is_confirmed(const struct evaluation *list, int count, int i, double threshold)
{
    int next = i + 1;
    while (next < count && list[next].updates == list[i].updates)
        next++;
    return next < count && list[next].top1 >= threshold;
}

struct time_to_accuracy time_to_accuracy(const struct evaluation *list, int count, double threshold)
{
    struct time_to_accuracy t = {.first_s = NAN, .confirmed_s = NAN};
    for (int i = 0; i < count && isnan(t.confirmed_s); i++) {
        if (!(list[i].top1 >= threshold))
            continue;
        double seconds = crossing_s(list, i, threshold);
        if (isnan(t.first_s))
            t.first_s = seconds;
        if (is_confirmed(list, count, i, threshold))
            t.confirmed_s = seconds;
    }
    return t;
}
