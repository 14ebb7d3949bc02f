/* `nbsgd study`: every setting in every case with every seed. */
#include "study/study.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "study/rows.h"
#include "study/tune.h"

struct study {
    struct experiment *experiment;
    struct plan plan;
    struct rows rows;
};

/* "60,70" for --thresholds; "" without targets. */
static void thresholds_of(const struct experiment *e, char text[MOST_TARGETS * 24])
{
    size_t used = 0;
    *text = 0;
    for (int i = 0; i < e->target_count; i++)
        used += (size_t)snprintf(text + used, MOST_TARGETS * 24 - used, "%s%g", i ? "," : "",
                                 e->targets[i]);
}

static void add_cells(struct study *s, const struct section *scene, const struct section *setting,
                      const struct study_program *program)
{
    const struct experiment *e = s->experiment;
    char thresholds[MOST_TARGETS * 24];
    const struct extra extra[] = {{"thresholds", thresholds}, {NULL, NULL}};
    thresholds_of(e, thresholds);
    const struct configured *of =
        plan_configure(&s->plan, e, scene, setting, *thresholds ? extra : extra + 1, program);
    for (int i = 0; i < e->seed_count; i++) {
        struct cell *c = plan_add(&s->plan);
        c->scene = scene;
        c->setting = setting;
        c->seed = e->seeds[i];
        c->of = of;
        snprintf(c->folder, sizeof c->folder, "cells/%s/%s/seed-%lld", scene->name, setting->name,
                 (long long)c->seed);
    }
}

/* Seed by seed: what is there after a part of the time can be compared. */
static void order(struct study *s)
{
    struct plan *p = &s->plan;
    int seeds = s->experiment->seed_count, next = 0;
    p->order = xcalloc((size_t)p->count, sizeof *p->order);
    for (int seed = 0; seed < seeds; seed++)
        for (int i = seed; i < p->count; i += seeds)
            p->order[next++] = i;
}

static void plan_study(struct study *s, const struct study_program *program)
{
    const struct experiment *e = s->experiment;
    for (int k = 0; k < experiment_count(e, SECTION_CASE); k++)
        for (int i = 0; i < experiment_count(e, SECTION_SETTING); i++)
            if (experiment_has(experiment_section(e, SECTION_CASE, k),
                               experiment_section(e, SECTION_SETTING, i)))
                add_cells(s, experiment_section(e, SECTION_CASE, k),
                          experiment_section(e, SECTION_SETTING, i), program);
    plan_check_comparison(&s->plan, e);
    plan_digest(&s->plan, program);
    order(s);
}

/* What was tuned is not judged by the seeds that tuned it. */
static void check_seeds(const struct experiment *e)
{
    int count;
    if (experiment_find(e, SECTION_TUNE, "", ""))
        xfree(tuning_seeds(e, SECTION_TUNE, &count));
}

int study_run(const struct study_request *r, const struct study_program *program)
{
    struct study s = {.plan = {.root = r->results}};
    int code = 0;
    s.experiment = experiment_load(
        &(struct experiment_request){.path = r->file, .results = r->results, .check = r->check});
    check_seeds(s.experiment);
    s.rows = (struct rows){s.experiment, &s.plan, program};
    plan_study(&s, program);
    if (r->check)
        printf("%d cells: %d settings in %d cases with %d seeds\n", s.plan.count,
               experiment_count(s.experiment, SECTION_SETTING),
               experiment_count(s.experiment, SECTION_CASE), s.experiment->seed_count);
    else
        code = plan_carry_out(&s.plan, r, program,
                              &(struct plan_files){.experiment = s.experiment,
                                                   .experiment_name = "study.ini",
                                                   .rows_name = "study.csv",
                                                   .write_rows = rows_of_study,
                                                   .rows = &s.rows});
    plan_close(&s.plan);
    experiment_free(s.experiment);
    return code;
}
