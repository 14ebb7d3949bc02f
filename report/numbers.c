/* A number a measure, case, setting and threshold, of the runs that have ended. */
#include "report/numbers.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"

#define MEDIAN                                                                                     \
    "the median over the runs; interval: order statistics, with its coverage; count: runs"

const struct measure_words measure_words[MEASURES] = {
    [MEASURE_RUNS] = {"runs", "runs",
                      "that have ended, of all cells of the study; a diverged run is one"},
    [MEASURE_TTA] =
        {"tta", "s",
         "seconds of the training clock to the threshold `target` (top-1 in percent): the first "
         "crossing that the next evaluation confirms. The median over the runs, in which never is "
         "inf; interval: order statistics; count: runs that got there, of all that ended"},
    [MEASURE_BEFORE] =
        {"probability_before", "",
         "that `setting` gets to the threshold `target` before `other`, paired by seed, ties as "
         "one half; count: pairs in which it does, of all; sign_p: two-sided sign test"},
    [MEASURE_RATIO] = {"time_ratio", "",
                       "seconds to the threshold `target` of `setting` / those of `other`: exp of "
                       "the median of log ratios of the pairs in which one got there; interval: a "
                       "bootstrap of the pairs, 95 %, of n of them at most 1 - 2^(1 - n)"},
    [MEASURE_TOP1] = {"top1", "%", "of the last evaluation: " MEDIAN},
    [MEASURE_BEST_TOP1] =
        {"best_top1", "%",
         "the greatest of a run's evaluations, which favours many evaluations: " MEDIAN},
    [MEASURE_TEST_TOP1] =
        {"test_top1", "%",
         "of the test images, judged once, by the weights of the last evaluation; nothing was "
         "decided by it, where evaluations judge held-out images: " MEDIAN},
    [MEASURE_TOP1_AT_SECONDS] =
        {"top1_at_seconds", "%",
         "at `at` seconds of the training clock, when the first run of the case that did not "
         "diverge ends; a run that ended before keeps its last: " MEDIAN},
    [MEASURE_TOP1_AT_SAMPLES] =
        {"top1_at_samples", "%",
         "after `at` samples, as many as every run of the case that did not diverge has used; a "
         "run that ended before keeps its last: " MEDIAN},
    [MEASURE_IQM] =
        {"top1_iqm", "%",
         "interquartile mean of the last evaluations, over all cases in which every setting has "
         "runs, or of one case; interval: a bootstrap stratified by case, 95 %, of n runs at most "
         "1 - 2^(1 - n); count: runs"},
    [MEASURE_PROFILE] = {"profile", "",
                         "performance profile: the part of the cases in which the setting's median "
                         "time to the threshold `target` is at most `at` times the best setting's; "
                         "count: cases, of all in which every setting has runs"},
    [MEASURE_GEOMETRIC] =
        {"ratio_to_best", "",
         "geometric mean, over the cases in which the setting's median gets to the threshold "
         "`target`, of its ratio to the best setting's; count: these cases, of all"},
    [MEASURE_SECONDS] = {"seconds", "s", "of the training clock at the end: " MEDIAN},
    [MEASURE_SAMPLES] = {"samples", "samples", "used: " MEDIAN},
    [MEASURE_UPDATES] = {"updates", "updates", "of the weights: " MEDIAN},
    [MEASURE_IMAGES_PER_S] = {"images_per_s", "1/s",
                              "samples used a second of the training clock: " MEDIAN},
    [MEASURE_STALENESS] = {"staleness_mean", "updates", "mean staleness of the pushes: " MEDIAN},
    [MEASURE_MINIBATCHES] = {"minibatches_per_update", "mini-batches", "their mean: " MEDIAN},
    [MEASURE_MINIBATCHES_HARMONIC] = {"minibatches_per_update_harmonic", "mini-batches",
                                      "their harmonic mean: " MEDIAN},
    [MEASURE_SHARE] = {"share", "",
                       "of the workers' time, of the kind `other`: the mean over the runs, so that "
                       "all kinds add to one; count: runs"},
    [MEASURE_RANK_SECONDS] = {"rank_seconds", "s",
                              "of the training clock that rank `item` spent, of the kind `other` "
                              "(metrics/metrics.h: a worker's kinds add to its clock)"},
    [MEASURE_RECALL] = {"recall", "%",
                        "of the images of class `item` (of), those that the last evaluation said "
                        "to be of it (count)"},
    [MEASURE_PRECISION] =
        {"precision", "%",
         "of the images that were said to be of class `item` (of), those that are (count)"},
    [MEASURE_F1] = {"f1", "%", "of class `item`: the harmonic mean of recall and precision"},
};

struct number *numbers_add(struct numbers *n, enum measure measure)
{
    if (n->count == n->room) {
        int room = n->room ? 2 * n->room : 256;
        struct number *list = xcalloc((size_t)room, sizeof *list);
        if (n->count)
            memcpy(list, n->list, (size_t)n->count * sizeof *list);
        xfree(n->list);
        n->list = list;
        n->room = room;
    }
    struct number *number = &n->list[n->count++];
    *number = (struct number){.measure = measure,
                              .case_name = "",
                              .setting = "",
                              .other = "",
                              .item = -1,
                              .target = NAN,
                              .at = NAN,
                              .value = NAN,
                              .interval = {NAN, NAN, 0},
                              .count = -1,
                              .of = -1,
                              .sign_p = NAN};
    return number;
}

void numbers_close(struct numbers *n)
{
    xfree(n->list);
    *n = (struct numbers){0};
}

static bool is_named(const char *name, const char *wanted)
{
    return !wanted || !strcmp(name, wanted);
}

const struct number *numbers_find(const struct numbers *n, enum measure measure,
                                  const char *case_name, const char *setting, const char *other,
                                  double target)
{
    for (int i = 0; i < n->count; i++) {
        const struct number *x = &n->list[i];
        if (x->measure == measure && is_named(x->case_name, case_name) &&
            is_named(x->setting, setting) && is_named(x->other, other) &&
            (isnan(target) || x->target == target))
            return x;
    }
    return NULL;
}
