/* What tuning and finding targets share: trials of a search space, their rows, who wins. */
#ifndef STUDY_TUNE_H
#define STUDY_TUNE_H

#include "study/search.h"

struct tuning {
    struct experiment *experiment;
    const struct study_program *program;
    struct plan plan;
    struct search **search; /* of each setting; owned */
    int trials;             /* of each setting in each case; points of a grid */
    int folds;              /* each trial is run with each of these held out; 0: no folds */
    int64_t *seeds;         /* that a trial is run with; owned */
    int seed_count;
    double target;       /* top-1 in percent; 0: judged by the best accuracy alone */
    char val_split[40];  /* the part of the training images that judges */
    const char *folder;  /* of the trials, in the plan's */
    const char *targets; /* the same of the target's runs */
};

/* How good a trial is: mean over its seeds. */
struct score {
    double reached_s;            /* INFINITY: a seed never got to the target */
    double best_top1, deviation; /* of best_top1, among the runs */
    int runs, diverged;          /* diverged: of them */
    bool known;                  /* all its runs have ended */
};

/* `kind`: SECTION_TUNE or SECTION_FOLDS. Files of the names `left_out` are not included. */
void tuning_open(struct tuning *t, const struct study_request *r,
                 const struct study_program *program, enum section_kind kind,
                 const char *const *left_out);
void tuning_close(struct tuning *t);

/* The seeds of [tune] or [folds], to be released. Fatal where one is [study]'s, too: a rate that
 * was tuned on the very seeds that judge it would be chosen for its luck. */
int64_t *tuning_seeds(const struct experiment *e, enum section_kind kind, int *count);

const struct section *tuning_section(const struct tuning *t); /* [tune] or [folds] */
const struct assignment *tuning_word(const struct tuning *t, const char *name);
/* A whole number of [tune]; fatal beyond the range. */
int tuning_number(const struct tuning *t, const char *name, int preset, int least, int most);

/* Adds the trials of that setting in that case to the plan. */
void tuning_add(struct tuning *t, int scene, int setting);
/* Those of all settings in all cases, digested, in their order. */
void tuning_add_all(struct tuning *t);
/* By trial, then by seed: what was begun everywhere can be compared everywhere. */
void tuning_order(struct tuning *t);

/* Options of a trial, ended by a name of NULL: the space's, then those of every trial. */
enum { TUNING_EXTRAS = MOST_DIMENSIONS + 5, TUNING_VALUES = MOST_DIMENSIONS + 1 };
void tuning_extras(const struct tuning *t, int setting, int trial, int fold,
                   char value[TUNING_VALUES][SEARCH_VALUE], struct extra extra[TUNING_EXTRAS]);

struct score tuning_score(const struct tuning *t, const struct section *scene,
                          const struct section *setting, int trial);
bool tuning_has_result(const struct plan *p, const struct cell *c);
/* Has every cell a result that can be judged? Else says that `file` is not written, and why; *well:
 * only cells of other tasks are missing, so it is no failure of this one. */
bool tuning_is_whole(const struct tuning *t, const char *file, const char *rows, bool *well);
/* The best trial: of those none of whose runs diverged the first at the target, else, where none
 * got there, the most accurate; else of the others. -1: some have not ended. */
int tuning_winner(const struct tuning *t, const struct section *scene,
                  const struct section *setting, struct score *best);

/* The number of settings of the experiment that come before. */
int tuning_setting(const struct tuning *t, const struct section *setting);
/* Names of all options that some setting searches, each once; returns how many. */
int tuning_columns(const struct tuning *t, const char *name[MOST_COLUMNS]);
bool tuning_rows(FILE *f, void *tuning); /* trials.csv, for study_write() */

int targets_run(struct tuning *t, const struct study_request *r);

#endif
