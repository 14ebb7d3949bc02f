/* `nbsgd folds`: K-fold cross-validation of a grid of options. The training images are cut into K
 * parts; each point of the grid is trained K times, each time judged by the part that was held out
 * of its training. Test images are not looked at. */
#include <math.h>

#include "base/check.h"
#include "study/tune.h"

static int point_of_best(const struct tuning *t, const struct section *scene,
                         const struct section *setting)
{
    struct score best;
    return tuning_winner(t, scene, setting, &best);
}

static void write_point(FILE *f, const struct tuning *t, const struct section *scene,
                        const struct section *setting, int point, bool wins)
{
    char value[TUNING_VALUES][SEARCH_VALUE];
    struct extra extra[TUNING_EXTRAS];
    struct score s = tuning_score(t, scene, setting, point);
    const struct search *grid = t->search[0];
    tuning_extras(t, tuning_setting(t, setting), point, 0, value, extra);
    fprintf(f, "%s,%s,%d", scene->name, setting->name, point + 1);
    for (int i = 0; i < grid->count; i++)
        row_text(f, value[i]);
    fprintf(f, ",%d,%.4f,%.4f,%s\n", s.runs, s.best_top1, s.deviation, wins ? "yes" : "no");
    if (!wins)
        return;
    printf("%s in %s:", setting->name, scene->name);
    for (int i = 0; i < grid->count; i++)
        printf(" %s = %s,", extra[i].name, extra[i].value);
    printf(" %.2f %% +- %.2f over %d runs\n", s.best_top1, s.deviation, s.runs);
}

static bool write_means(FILE *f, void *self)
{
    const struct tuning *t = self;
    const struct experiment *e = t->experiment;
    const char *name[MOST_COLUMNS];
    int columns = tuning_columns(t, name);
    fprintf(f,
            "# program: %s\n# title: %s\n# folds: %d\n# best_top1: mean over folds and seeds of "
            "the best accuracy of a run; deviation: of the runs\ncase,setting,point",
            t->program->name, e->title, t->folds);
    for (int i = 0; i < columns; i++)
        fprintf(f, ",%s", name[i]);
    fputs(",runs,best_top1,deviation,best\n", f);
    for (int k = 0; k < experiment_count(e, SECTION_CASE); k++)
        for (int i = 0; i < experiment_count(e, SECTION_SETTING); i++) {
            const struct section *scene = experiment_section(e, SECTION_CASE, k),
                                 *setting = experiment_section(e, SECTION_SETTING, i);
            if (!experiment_has(scene, setting))
                continue;
            int best = point_of_best(t, scene, setting);
            for (int point = 0; point < t->trials; point++)
                write_point(f, t, scene, setting, point, point == best);
        }
    return true;
}

static bool conclude(void *self)
{
    struct tuning *t = self;
    bool well;
    if (!tuning_is_whole(t, "folds-means.csv", "folds.csv", &well))
        return well;
    study_write(t->plan.root, "folds-means.csv", write_means, t);
    printf("means: %s/folds-means.csv\n", t->plan.root);
    return true;
}

int study_folds(const struct study_request *r, const struct study_program *program)
{
    static const char *const none[] = {NULL};
    struct tuning t;
    int code = 0;
    tuning_open(&t, r, program, SECTION_FOLDS, none);
    const struct experiment *e = t.experiment;
    tuning_add_all(&t);
    if (r->check)
        printf("%d cells: %d points of %d settings in %d cases, %d folds, %d seeds\n", t.plan.count,
               t.trials, experiment_count(e, SECTION_SETTING), experiment_count(e, SECTION_CASE),
               t.folds, t.seed_count);
    else
        code = plan_carry_out(&t.plan, r, program,
                              &(struct plan_files){.experiment = t.experiment,
                                                   .experiment_name = "folds.ini",
                                                   .rows_name = "folds.csv",
                                                   .write_rows = tuning_rows,
                                                   .conclude = conclude,
                                                   .rows = &t});
    tuning_close(&t);
    return code;
}
