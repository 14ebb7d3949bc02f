/* `nbsgd tune`: the same number of trials for every setting in every case; the best of each is
 * written down as what a study can take. */
#include "study/tune.h"

#include <math.h>
#include <string.h>

#include "base/check.h"

/* A winner at the end of its range may only be the best of what was tried. */
static void say_ends(FILE *f, const struct search *s, char value[TUNING_VALUES][SEARCH_VALUE],
                     const char *begin)
{
    for (int i = 0; i < s->count; i++)
        if (search_is_at_end(s, i, value[i]))
            fprintf(f, "%s%s = %s is near an end of its range (%s): a wider one may be better\n",
                    begin, s->list[i].at->name, value[i], s->list[i].at->value);
}

static void say_score(FILE *f, const struct tuning *t, int trial, const struct score *s)
{
    fprintf(f, "trial %d of %d: ", trial + 1, t->trials);
    if (isfinite(s->reached_s))
        fprintf(f, "%g %% after %.2f s, ", t->target, s->reached_s);
    else if (t->target > 0)
        fprintf(f, "%g %% never, ", t->target);
    fprintf(f, "at best %.2f %% (mean over %d seed%s)%s\n", s->best_top1, t->seed_count,
            t->seed_count > 1 ? "s" : "", s->diverged ? "; IT DIVERGED, as all trials did" : "");
}

static void write_winner(FILE *f, const struct tuning *t, int scene, int setting)
{
    const struct section *in = experiment_section(t->experiment, SECTION_CASE, scene),
                         *of = experiment_section(t->experiment, SECTION_SETTING, setting);
    const struct search *space = t->search[setting];
    char value[TUNING_VALUES][SEARCH_VALUE];
    struct extra extra[TUNING_EXTRAS];
    struct score s;
    int trial = tuning_winner(t, in, of, &s);
    tuning_extras(t, setting, trial, 0, value, extra);
    fprintf(f, "\n# ");
    say_score(f, t, trial, &s);
    say_ends(f, space, value, "# ");
    fprintf(f, "[setting %s in %s]\n", of->name, in->name);
    for (int i = 0; i < space->count; i++)
        fprintf(f, "%s = %s\n", extra[i].name, extra[i].value);
    printf("%s in %s: ", of->name, in->name);
    say_score(stdout, t, trial, &s);
    say_ends(stdout, space, value, "  ");
}

static bool write_winners(FILE *f, void *self)
{
    const struct tuning *t = self;
    const struct experiment *e = t->experiment;
    fprintf(f,
            "# Written by nbsgd tune: of each setting in each case the best of %d trials, judged "
            "by\n# %s of the training images, which were held out. All trials: trials.csv.\n",
            t->trials, t->val_split);
    for (int k = 0; k < experiment_count(e, SECTION_CASE); k++)
        for (int i = 0; i < experiment_count(e, SECTION_SETTING); i++)
            if (experiment_has(experiment_section(e, SECTION_CASE, k),
                               experiment_section(e, SECTION_SETTING, i)))
                write_winner(f, t, k, i);
    return true;
}

static bool conclude(void *self)
{
    struct tuning *t = self;
    bool well;
    if (!tuning_is_whole(t, "tuned.ini", "trials.csv", &well))
        return well;
    study_write(t->plan.root, "tuned.ini", write_winners, t);
    printf("tuned: %s/tuned.ini; a study takes it with [study] include = tuned.ini\n",
           t->plan.root);
    return true;
}

int study_tune(const struct study_request *r, const struct study_program *program)
{
    static const char *const to_tune[] = {"tuned.ini", NULL}, *const to_aim[] = {
                                                                  "tuned.ini", "targets.ini", NULL};
    struct tuning t;
    int code = 0;
    tuning_open(&t, r, program, SECTION_TUNE, r->targets ? to_aim : to_tune);
    const struct experiment *e = t.experiment;
    if (r->targets) {
        code = targets_run(&t, r);
        tuning_close(&t);
        return code;
    }
    if (!(t.target > 0) && !e->to_come)
        fatal("%s: no target to reach: say [tune] target, or [study] targets (nbsgd tune --targets "
              "finds them)",
              e->paths[0]);
    tuning_add_all(&t);
    if (r->check)
        printf("%d cells: %d trials of %d settings in %d cases with %d seeds\n", t.plan.count,
               t.trials, experiment_count(e, SECTION_SETTING), experiment_count(e, SECTION_CASE),
               t.seed_count);
    else
        code = plan_carry_out(&t.plan, r, program,
                              &(struct plan_files){.experiment = t.experiment,
                                                   .experiment_name = "tune.ini",
                                                   .rows_name = "trials.csv",
                                                   .write_rows = tuning_rows,
                                                   .conclude = conclude,
                                                   .rows = &t});
    tuning_close(&t);
    return code;
}
