/* Estimates for the machine, and for each case of the study as if it had not been seen. */
#include <math.h>

#include "advice/private.h"
#include "base/alloc.h"

void advice_estimate(struct advice *a, int world)
{
    struct pace *pace = xcalloc((size_t)a->cases, sizeof *pace);
    for (int k = 0; k < a->settings; k++) {
        for (int c = 0; c < a->cases; c++)
            pace[c] = simulated_at(a, world, k, c)->pace;
        estimates_at(a, world)[k] =
            estimate_of(&a->evidence[cell_at(a, k, 0)], pace, a->cases, world - 1);
    }
    xfree(pace);
}

/* ln of predicted / measured, of a setting in the case that is left out; NAN: not both
 * are times. */
static double log_off(const struct advice *a, int c, int setting, int count[OUTCOME_MISSED + 1])
{
    const struct estimate *e = &estimates_at(a, 1 + c)[setting];
    const struct evidence *is = &a->evidence[cell_at(a, setting, c)];
    enum outcome outcome = outcome_of(e, is);
    count[outcome]++;
    return outcome == OUTCOME_BOTH ? log(e->seconds / is->seconds) : NAN;
}

/* A gain that is none: less than the setting's own ratios to the baseline were off, or than half of
 * all were. NAN: not known. */
static double allowed_of(const struct advice *a, const double *ratios, int setting)
{
    double worst = NAN;
    for (int c = 0; c < a->cases; c++)
        worst = fmax(worst, fabs(ratios[c * a->settings + setting]));
    return isnan(worst) ? a->ratios_off.most : fmax(exp(worst), a->ratios_off.median);
}

/* Of all predictions of cases that were left out: those that would be taken, and those that would
 * be called far. */
void advice_judge(struct advice *a)
{
    int count = a->cases * a->settings, outcomes[OUTCOME_MISSED + 1] = {0},
        ignored[OUTCOME_MISSED + 1] = {0};
    double *seconds = xcalloc(3 * (size_t)count, sizeof *seconds), *ratios = seconds + count,
           *far = ratios + count;
    for (int c = 0; c < a->cases; c++) {
        double base = log_off(a, c, a->baseline, ignored);
        for (int k = 0; k < a->settings; k++) {
            int at = c * a->settings + k;
            bool is_far = estimates_at(a, 1 + c)[k].distance > estimate_far;
            double off = log_off(a, c, k, is_far ? ignored : outcomes);
            seconds[at] = is_far ? NAN : off;
            far[at] = is_far ? off : NAN;
            ratios[at] = k == a->baseline ? NAN : seconds[at] - base;
        }
    }
    a->missed = outcomes[OUTCOME_MISSED];
    a->agrees = outcomes[OUTCOME_AGREES];
    a->seconds_off = errors_of(seconds, count);
    a->ratios_off = errors_of(ratios, count);
    a->far_off = errors_of(far, count);
    for (int k = 0; k < a->settings; k++)
        a->allowed[k] = allowed_of(a, ratios, k);
    a->verdict = verdict_of(estimates_at(a, 0), a->settings, a->baseline, a->allowed);
    xfree(seconds);
}
