/* What --slow asked for, and what was met. */
#include <math.h>
#include <stdio.h>

#include "metrics/results.h"

double summary_slowness_met(const struct run_summary *s, int rank)
{
    double sum_s = 0;
    int others = 0;
    for (int i = s->servers; i < s->ranks; i++) {
        double mean_s = moments_mean(&s->counters[i].minibatch_s);
        if (slowness_of(s->slowness, i) > 1 || isnan(mean_s))
            continue;
        sum_s += mean_s;
        others++;
    }
    if (rank < s->servers || sum_s == 0)
        return NAN;
    return moments_mean(&s->counters[rank].minibatch_s) / (sum_s / others);
}

void slowed_fields(const struct run_summary *s, struct json_field field[SLOW_WORKERS + 1],
                   char key[SLOW_WORKERS][12])
{
    int count = s->ranks > 1 ? s->slowness->count : 0;
    for (int i = 0; i < count; i++) {
        int rank = s->slowness->rank[i];
        snprintf(key[i], sizeof key[i], "%d", rank);
        field[i] = (struct json_field)JSON_FIXED(key[i], summary_slowness_met(s, rank));
    }
    field[count] = (struct json_field){.type = JSON_END};
}

void slowed_print(const struct run_summary *s)
{
    for (int i = 0; i < s->slowness->count && s->ranks > 1; i++) {
        int rank = s->slowness->rank[i];
        double met = summary_slowness_met(s, rank);
        if (!isnan(met))
            printf("--slow %d=%g: rank %d took %.1f times as long as the others\n", rank,
                   s->slowness->factor[i], rank, met);
    }
}
