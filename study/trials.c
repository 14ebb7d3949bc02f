/* Trials: every setting has as many, in every case, with the same values of what all have. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "study/tune.h"

/* What [tune] says beside its search space, and [folds] beside its grid. */
static const char *const words[] = {"trials",    "seeds",   "target", "val-split",
                                    "reference", "repeats", "lower",  "reference-trials",
                                    NULL},
                         *const fold_words[] = {"k", "seeds", NULL};

const struct section *tuning_section(const struct tuning *t)
{
    return experiment_find(t->experiment, t->folds ? SECTION_FOLDS : SECTION_TUNE, "", "");
}

const struct assignment *tuning_word(const struct tuning *t, const char *name)
{
    return section_get(tuning_section(t), name);
}

int tuning_number(const struct tuning *t, const char *name, int preset, int least, int most)
{
    const struct assignment *a = tuning_word(t, name);
    double value = preset;
    char what[100];
    if (a &&
        (!read_real(a->value, &value) || value != floor(value) || value < least || value > most)) {
        snprintf(what, sizeof what, "a whole number from %d to %d is expected", least, most);
        refuse(a, what);
    }
    return (int)value;
}

int64_t *tuning_seeds(const struct experiment *e, enum section_kind kind, int *count)
{
    static const struct assignment preset = {"seeds", "100001", "[tune]", 0};
    const struct assignment *said = section_get(experiment_find(e, kind, "", ""), "seeds"),
                            *a = said ? said : &preset;
    char what[120];
    int64_t *seeds = numbers_of(a, count);
    for (int i = 0; i < *count; i++)
        for (int k = 0; k < e->seed_count; k++)
            if (seeds[i] == e->seeds[k]) {
                snprintf(what, sizeof what,
                         "%lld is one of [study]'s, too: seeds that judge are not those that tune",
                         (long long)seeds[i]);
                refuse(a, what);
            }
    return seeds;
}

static void read_target(struct tuning *t)
{
    const struct experiment *e = t->experiment;
    const struct assignment *a = tuning_word(t, "target");
    double list[MOST_TARGETS];
    if (a && percentages_of(a, list) > 1)
        refuse(a, "one accuracy is expected");
    t->target = a ? list[0] : e->target_count ? e->targets[e->target_count - 1] : 0;
}

static void read_split(struct tuning *t)
{
    const struct assignment *a = tuning_word(t, "val-split");
    double part = 0.1;
    if (a && (!read_real(a->value, &part) || part <= 0 || part >= 1))
        refuse(a, "a part of the training images, above 0 and below 1, is expected");
    snprintf(t->val_split, sizeof t->val_split, "%.30s", a ? a->value : "0.1");
}

/* Of [folds]: the grid is the same for all settings. */
static void open_folds(struct tuning *t, int settings)
{
    t->folds = 1; /* so that [folds] is asked */
    t->folds = tuning_number(t, "k", 5, 2, 1000);
    t->folder = "folds";
    t->target = 0;
    snprintf(t->val_split, sizeof t->val_split, "%.17g", 1.0 / t->folds);
    for (int i = 0; i < settings; i++)
        t->search[i] = grid_of(t->experiment, fold_words);
    t->trials = t->search[0]->points;
}

static void open_search(struct tuning *t, int settings)
{
    t->trials = tuning_number(t, "trials", 16, 1, 10000);
    read_target(t);
    read_split(t);
    for (int i = 0; i < settings; i++)
        t->search[i] = search_of(
            t->experiment, experiment_section(t->experiment, SECTION_SETTING, i)->name, words);
}

void tuning_open(struct tuning *t, const struct study_request *r,
                 const struct study_program *program, enum section_kind kind,
                 const char *const *left_out)
{
    *t = (struct tuning){
        .program = program, .plan = {.root = r->results}, .folder = "trials", .targets = "targets"};
    t->experiment = experiment_load(&(struct experiment_request){
        .path = r->file, .results = r->results, .left_out = left_out, .check = r->check});
    const struct experiment *e = t->experiment;
    int settings = experiment_count(e, SECTION_SETTING);
    t->search = xcalloc((size_t)settings, sizeof *t->search);
    if (!experiment_find(e, kind, "", ""))
        fatal(kind == SECTION_FOLDS
                  ? "%s: there is no [folds] with k and a grid, as in 'lr = 0.01 0.1'"
                  : "%s: there is no [tune] with a search space, as in 'lr = log 0.001 1'",
              e->paths[0]);
    if (kind == SECTION_FOLDS)
        open_folds(t, settings);
    else
        open_search(t, settings);
    t->seeds = tuning_seeds(e, kind, &t->seed_count);
}

void tuning_close(struct tuning *t)
{
    for (int i = 0; i < experiment_count(t->experiment, SECTION_SETTING); i++)
        xfree(t->search[i]);
    xfree(t->search);
    xfree(t->seeds);
    plan_close(&t->plan);
    experiment_free(t->experiment);
}

void tuning_extras(const struct tuning *t, int setting, int trial, int fold,
                   char value[TUNING_VALUES][SEARCH_VALUE], struct extra extra[TUNING_EXTRAS])
{
    const struct search *s = t->search[setting];
    int count = 0;
    for (; count < s->count; count++) {
        search_value(s, count, trial, value[count]);
        extra[count] = (struct extra){s->list[count].at->name, value[count]};
    }
    extra[count++] = (struct extra){"val-split", t->val_split};
    extra[count++] = (struct extra){"evaluate", "val"};
    if (t->folds) {
        snprintf(value[MOST_DIMENSIONS], SEARCH_VALUE, "%d", fold);
        extra[count++] = (struct extra){"val-fold", value[MOST_DIMENSIONS]};
    }
    extra[count] = (struct extra){NULL, NULL};
}

/* One trial, of folds with one of them held out, with all seeds. */
static void add_trial(struct tuning *t, int scene, int setting, int trial, int fold)
{
    const struct experiment *e = t->experiment;
    const struct section *in = experiment_section(e, SECTION_CASE, scene),
                         *of = experiment_section(e, SECTION_SETTING, setting);
    char value[TUNING_VALUES][SEARCH_VALUE], name[40];
    struct extra extra[TUNING_EXTRAS];
    tuning_extras(t, setting, trial, fold, value, extra);
    const struct configured *c = plan_configure(&t->plan, e, in, of, extra, t->program);
    snprintf(name, sizeof name, t->folds ? "point-%d/fold-%d" : "trial-%d", trial + 1, fold);
    for (int i = 0; i < t->seed_count; i++) {
        struct cell *cell = plan_add(&t->plan);
        cell->scene = in;
        cell->setting = of;
        cell->seed = t->seeds[i];
        cell->trial = trial;
        cell->fold = fold;
        cell->of = c;
        snprintf(cell->folder, sizeof cell->folder, "%s/%s/%s/%s/seed-%lld", t->folder, in->name,
                 of->name, name, (long long)cell->seed);
    }
}

void tuning_add(struct tuning *t, int scene, int setting)
{
    for (int trial = 0; trial < t->trials; trial++)
        for (int fold = 0; fold < (t->folds ? t->folds : 1); fold++)
            add_trial(t, scene, setting, trial, fold);
}

void tuning_order(struct tuning *t)
{
    struct plan *p = &t->plan;
    int next = 0;
    p->order = xcalloc((size_t)p->count, sizeof *p->order);
    for (int i = 0; i < t->seed_count; i++)
        for (int trial = 0; trial < t->trials; trial++)
            for (int k = 0; k < p->count; k++)
                if (p->cells[k].trial == trial && p->cells[k].seed == t->seeds[i])
                    p->order[next++] = k;
    CHECK(next == p->count, "%d of %d trials have a place", next, p->count);
}

void tuning_add_all(struct tuning *t)
{
    for (int k = 0; k < experiment_count(t->experiment, SECTION_CASE); k++)
        for (int i = 0; i < experiment_count(t->experiment, SECTION_SETTING); i++)
            if (experiment_has(experiment_section(t->experiment, SECTION_CASE, k),
                               experiment_section(t->experiment, SECTION_SETTING, i)))
                tuning_add(t, k, i);
    plan_check_comparison(&t->plan, t->experiment);
    plan_digest(&t->plan, t->program);
    tuning_order(t);
}

/* One that diverged before its first evaluation has never reached anything. */
static bool is_known(const struct cell *c, const struct cell_result *r)
{
    return r->json && r->read && (r->count || c->state == CELL_DIVERGED);
}

bool tuning_has_result(const struct plan *p, const struct cell *c)
{
    struct cell_result r = cell_result(p, c);
    bool has = is_known(c, &r);
    cell_result_close(&r);
    return has;
}

struct score tuning_score(const struct tuning *t, const struct section *scene,
                          const struct section *setting, int trial)
{
    struct score s = {.known = true};
    double squares = 0;
    for (int i = 0; i < t->plan.count; i++) {
        const struct cell *c = &t->plan.cells[i];
        double best = 0;
        if (c->scene != scene || c->setting != setting || c->trial != trial)
            continue;
        struct cell_result r = cell_result(&t->plan, c);
        double reached_s = time_to_accuracy(r.list, r.count, t->target).confirmed_s;
        for (int k = 0; k < r.count; k++)
            best = fmax(best, r.list[k].top1);
        s.known &= is_known(c, &r);
        s.diverged += c->state == CELL_DIVERGED;
        s.reached_s += isnan(reached_s) ? INFINITY : reached_s;
        double from_mean = best - s.best_top1; /* Welford's */
        s.best_top1 += from_mean / ++s.runs;
        squares += from_mean * (best - s.best_top1);
        cell_result_close(&r);
    }
    s.reached_s = t->target > 0 ? s.reached_s / s.runs : INFINITY;
    s.deviation = s.runs > 1 ? sqrt(squares / (s.runs - 1)) : 0;
    return s;
}

bool tuning_is_whole(const struct tuning *t, const char *file, const char *rows, bool *well)
{
    int left = 0, others = 0;
    for (int i = 0; i < t->plan.count; i++) {
        const struct cell *c = &t->plan.cells[i];
        if (tuning_has_result(&t->plan, c))
            continue;
        left++;
        others += !c->mine && c->state == CELL_MISSING;
    }
    *well = others == left;
    if (left && *well)
        printf("no %s: %d of %d runs have no result; the task of the array that ends last writes "
               "it\n",
               file, left, t->plan.count);
    else if (left)
        printf("no %s: %d of %d runs have no result (%s says which): start the same command "
               "again\n",
               file, left, t->plan.count, rows);
    return !left;
}

/* A run that diverged has lost what it reached: it comes after all that did not, however soon it
 * was at the target. */
static bool is_better(const struct score *a, const struct score *b)
{
    if (!a->diverged != !b->diverged)
        return !a->diverged;
    if (a->reached_s != b->reached_s)
        return a->reached_s < b->reached_s;
    return a->best_top1 > b->best_top1;
}

int tuning_winner(const struct tuning *t, const struct section *scene,
                  const struct section *setting, struct score *best)
{
    int winner = -1;
    *best = (struct score){.reached_s = INFINITY};
    for (int trial = 0; trial < t->trials; trial++) {
        struct score s = tuning_score(t, scene, setting, trial);
        if (!s.known)
            return -1;
        if (winner >= 0 && !is_better(&s, best))
            continue;
        winner = trial;
        *best = s;
    }
    return winner;
}

/* --- trials.csv --- */

int tuning_columns(const struct tuning *t, const char *name[MOST_COLUMNS])
{
    int count = 0;
    for (int i = 0; i < experiment_count(t->experiment, SECTION_SETTING); i++)
        for (int k = 0; k < t->search[i]->count; k++) {
            const char *next = t->search[i]->list[k].at->name;
            bool known = false;
            for (int c = 0; c < count; c++)
                known |= !strcmp(name[c], next);
            if (!known && count < MOST_COLUMNS)
                name[count++] = next;
        }
    return count;
}

int tuning_setting(const struct tuning *t, const struct section *setting)
{
    int i = 0;
    while (experiment_section(t->experiment, SECTION_SETTING, i) != setting)
        i++;
    return i;
}

static void write_trial(FILE *f, const struct tuning *t, const struct cell *c,
                        const char *const *name, int columns)
{
    char value[TUNING_VALUES][SEARCH_VALUE];
    struct extra extra[TUNING_EXTRAS];
    struct cell_row row = {.plan = &t->plan, .cell = c, .targets = &t->target};
    row.target_count = t->target > 0;
    tuning_extras(t, tuning_setting(t, c->setting), c->trial, c->fold, value, extra);
    fprintf(f, "%s,%s,%d,", c->scene->name, c->setting->name, c->trial + 1);
    if (t->folds)
        fprintf(f, "%d,", c->fold);
    fprintf(f, "%lld", (long long)c->seed);
    for (int i = 0; i < columns; i++) {
        const struct extra *x = extra;
        while (x->name && strcmp(x->name, name[i]))
            x++;
        row_text(f, x->name ? x->value : "");
    }
    row_write(f, &row);
}

bool tuning_rows(FILE *f, void *tuning)
{
    const struct tuning *t = tuning;
    const char *name[MOST_COLUMNS];
    int columns = tuning_columns(t, name);
    fprintf(f, "# program: %s\n# title: %s\n# judged by: %s of the training images, held out\n",
            t->program->name, t->experiment->title, t->val_split);
    fputs(t->folds ? "case,setting,point,fold,seed" : "case,setting,trial,seed", f);
    for (int i = 0; i < columns; i++)
        fprintf(f, ",%s", name[i]);
    row_names(f, &t->target, t->target > 0);
    for (int i = 0; i < t->plan.count; i++)
        write_trial(f, t, &t->plan.cells[i], name, columns);
    return true;
}
