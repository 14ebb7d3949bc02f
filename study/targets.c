/* Targets before runs: one setting, plain and synchronous, is tuned for its best accuracy on images
 * that are held out; its winner is repeated with other seeds; the target is the median of the best
 * accuracies of these runs. Lower thresholds are parts of it, and the cap on time is 4/3 of what
 * they took (MLPerf Training; Schmidt et al. 2021). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "study/tune.h"

enum { MOST_REPEATS = 1000, FIRST_REPEAT = 200001, MOST_TRIALS = 10000 };
static const double cap = 4.0 / 3; /* times the target runs' */

struct aim {
    struct tuning *t;
    int setting, scene;  /* of the reference */
    struct plan repeats; /* of the winner */
    double lower[MOST_TARGETS];
    int lower_count;
    int trial; /* that won */
};

/* [tune] reference = SETTING or SETTING in CASE; else ssgd, or the first, in the first case. */
static void find_reference(struct aim *a)
{
    const struct experiment *e = a->t->experiment;
    const struct assignment *said = tuning_word(a->t, "reference");
    char name[SECTION_NAME] = "ssgd", in[SECTION_NAME] = "";
    if (said && sscanf(said->value, "%47s in %47s", name, in) < 1)
        refuse(said, "a setting is expected, as in 'ssgd' or 'ssgd in healthy'");
    a->setting = a->scene = -1;
    for (int i = 0; i < experiment_count(e, SECTION_SETTING); i++)
        if (!strcmp(experiment_section(e, SECTION_SETTING, i)->name, name))
            a->setting = i;
    if (a->setting < 0 && !said)
        a->setting = 0;
    for (int i = 0; a->setting >= 0 && i < experiment_count(e, SECTION_CASE); i++) {
        const struct section *scene = experiment_section(e, SECTION_CASE, i);
        if ((!*in || !strcmp(scene->name, in)) &&
            experiment_has(scene, experiment_section(e, SECTION_SETTING, a->setting))) {
            a->scene = i;
            break;
        }
    }
    if (said && (a->setting < 0 || a->scene < 0))
        refuse(said, "there is no such setting, or no such case, or it is not run there");
    if (a->scene < 0)
        fatal("%s: [setting %s] is run in no case: say [tune] reference", e->paths[0],
              experiment_section(e, SECTION_SETTING, a->setting)->name);
}

static void read_lower(struct aim *a)
{
    static const struct assignment preset = {"lower", "80 90", "[tune]", 0};
    const struct assignment *said = tuning_word(a->t, "lower");
    a->lower_count = percentages_of(said ? said : &preset, a->lower);
    if (a->lower_count >= MOST_TARGETS || a->lower[a->lower_count - 1] >= 100)
        refuse(said ? said : &preset, "parts of the target in percent, below 100, are expected");
}

/* Neither study nor tuning may have met these runs' luck. */
static void check_seeds(const struct tuning *t, int repeats)
{
    const struct experiment *e = t->experiment;
    for (int i = 0; i < e->seed_count + t->seed_count; i++) {
        int64_t seed = i < e->seed_count ? e->seeds[i] : t->seeds[i - e->seed_count];
        if (seed >= FIRST_REPEAT && seed < FIRST_REPEAT + repeats)
            fatal("%s: seed %lld is one of the target's runs (%d and up): take others", e->paths[0],
                  (long long)seed, FIRST_REPEAT);
    }
}

static void add_repeats(struct aim *a)
{
    struct tuning *t = a->t;
    const struct experiment *e = t->experiment;
    const struct section *in = experiment_section(e, SECTION_CASE, a->scene),
                         *of = experiment_section(e, SECTION_SETTING, a->setting);
    int repeats = tuning_number(t, "repeats", 20, 2, MOST_REPEATS);
    char value[TUNING_VALUES][SEARCH_VALUE];
    struct extra extra[TUNING_EXTRAS];
    check_seeds(t, repeats);
    tuning_extras(t, a->setting, a->trial, 0, value, extra);
    const struct configured *c = plan_configure(&a->repeats, e, in, of, extra, t->program);
    a->repeats.order = xcalloc((size_t)repeats, sizeof *a->repeats.order);
    for (int i = 0; i < repeats; i++) {
        struct cell *cell = plan_add(&a->repeats);
        cell->scene = in;
        cell->setting = of;
        cell->seed = FIRST_REPEAT + i;
        cell->trial = a->trial;
        cell->of = c;
        a->repeats.order[i] = i;
        snprintf(cell->folder, sizeof cell->folder, "%s/repeats/seed-%lld", t->targets,
                 (long long)cell->seed);
    }
    plan_digest(&a->repeats, t->program);
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *list, int count)
{
    qsort(list, (size_t)count, sizeof *list, rising);
    return (list[(count - 1) / 2] + list[count / 2]) / 2;
}

struct found {
    double top1, seconds; /* medians */
};

static struct found measure(const struct aim *a)
{
    const struct plan *p = &a->repeats;
    double *top1 = xcalloc((size_t)p->count, sizeof *top1),
           *seconds = xcalloc((size_t)p->count, sizeof *seconds);
    for (int i = 0; i < p->count; i++) {
        struct cell_result r = cell_result(p, &p->cells[i]);
        for (int k = 0; k < r.count; k++) {
            top1[i] = fmax(top1[i], r.list[k].top1);
            seconds[i] = fmax(seconds[i], r.list[k].seconds);
        }
        cell_result_close(&r);
    }
    struct found f = {median(top1, p->count), median(seconds, p->count)};
    xfree(top1);
    xfree(seconds);
    return f;
}

/* Have the experiment's runs that option from itself? */
static bool says(const struct experiment *e, const char *name)
{
    for (int i = 0; i < e->section_count; i++)
        if (e->sections[i].kind != SECTION_TUNE && section_get(&e->sections[i], name))
            return true;
    return false;
}

/* An option of [base], unless the experiment has its own. */
static void write_option(FILE *f, const struct experiment *e, const char *name, const char *value)
{
    fprintf(f, says(e, name) ? "# %s = %s: the experiment says its own\n" : "%s = %s\n", name,
            value);
}

static bool write_targets(FILE *f, void *self)
{
    const struct aim *a = self;
    const struct cell *c = &a->repeats.cells[0];
    const struct experiment *e = a->t->experiment;
    struct found found = measure(a);
    char seconds[40];
    fprintf(f,
            "# Written by nbsgd tune --targets, before any setting was run: the median of the best "
            "accuracies\n# of %d runs of %s in %s, with the best of %d trials (trial %d), judged "
            "by %s of the\n# training images, which were held out; and parts of it.\n[study]\n"
            "targets =",
            a->repeats.count, c->setting->name, c->scene->name, a->t->trials, a->trial + 1,
            a->t->val_split);
    for (int i = 0; i < a->lower_count; i++)
        fprintf(f, " %.2f", found.top1 * a->lower[i] / 100);
    fprintf(f, " %.2f\n\n[base]\n# The cap on time: 4/3 of the median of these runs.\n",
            found.top1);
    snprintf(seconds, sizeof seconds, "%.4g", cap * found.seconds);
    write_option(f, e, "seconds", seconds);
    fputs("# Times to the targets are of the held-out images, too.\n", f);
    write_option(f, e, "val-split", a->t->val_split);
    write_option(f, e, "evaluate", "val");
    return true;
}

/* Rows of the repeats: those of the trials, of another plan. */
static bool write_repeats(FILE *f, void *self)
{
    const struct aim *a = self;
    struct tuning t = *a->t;
    t.plan = a->repeats;
    return tuning_rows(f, &t);
}

static bool conclude(void *self)
{
    struct aim *a = self;
    for (int i = 0; i < a->repeats.count; i++)
        if (!tuning_has_result(&a->repeats, &a->repeats.cells[i])) {
            printf("no targets.ini: not all of its runs have a result (targets.csv says which): "
                   "start the same command again\n");
            return false;
        }
    struct found found = measure(a);
    if (!(found.top1 > 0)) {
        printf("no targets.ini: the reference learns nothing; widen its search space\n");
        return false;
    }
    study_write(a->repeats.root, "targets.ini", write_targets, a);
    printf("target: %.2f %%; %s/targets.ini; an experiment takes it with [study] include = "
           "targets.ini\n",
           found.top1, a->repeats.root);
    return true;
}

int targets_run(struct tuning *t, const struct study_request *r)
{
    struct aim a = {.t = t, .repeats = {.root = t->plan.root}};
    struct score best;
    struct plan_files files = {.experiment = t->experiment,
                               .experiment_name = "targets-of.ini",
                               .rows_name = "targets-trials.csv",
                               .write_rows = tuning_rows,
                               .rows = t};
    find_reference(&a);
    read_lower(&a);
    t->folder = "targets";
    t->target = 0; /* judged by the best accuracy */
    t->trials = tuning_number(t, "reference-trials", 2 * t->trials, 1, 2 * MOST_TRIALS);
    tuning_add(t, a.scene, a.setting);
    plan_digest(&t->plan, t->program);
    tuning_order(t);
    if (r->check) {
        printf("%d cells: trials of %s, then %d repeats\n", t->plan.count,
               t->plan.cells[0].setting->name, tuning_number(t, "repeats", 20, 2, MOST_REPEATS));
        return 0;
    }
    int code = plan_carry_out(&t->plan, r, t->program, &files);
    a.trial = tuning_winner(t, t->plan.cells[0].scene, t->plan.cells[0].setting, &best);
    if (code || a.trial < 0) {
        printf("no targets.ini: not all trials have a result (targets-trials.csv says which): "
               "start the same command again\n");
        return code ? code : EXIT_CELLS;
    }
    add_repeats(&a);
    files.rows_name = "targets.csv";
    files.write_rows = write_repeats;
    files.conclude = conclude;
    files.rows = &a;
    code = plan_carry_out(&a.repeats, r, t->program, &files);
    plan_close(&a.repeats);
    return code;
}
