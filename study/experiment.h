/* An experiment: what a study runs, read from an INI file. Part of the front door, study/study.h.
 *
 *   [study]                  title, seeds, targets, include
 *   [base]                   options of every run
 *   [case NAME]              options of each run in that case: a world, a slowness; `settings`:
 *                          the settings that are run in it, else all
 *   [setting NAME]           options of each run of that setting: a scheme and its own
 *   [setting NAME in CASE]   options of that setting in that case alone; they win over the others;
 *                          those of an included file win over the file's own
 *   [tune], [tune NAME]      a search space (study/search.h)
 *   [folds]                  a grid (study/folds.c)
 *
 * Names are letters, digits, '.', '_' and '-': they are names of folders, and fields of a CSV. A
 * file without a case has one, "default". A mistake is fatal, with file and line. What the options
 * mean is not judged here. */
#ifndef STUDY_EXPERIMENT_H
#define STUDY_EXPERIMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum section_kind {
    SECTION_STUDY,
    SECTION_BASE,
    SECTION_CASE,
    SECTION_SETTING,
    SECTION_EXCEPTION, /* a setting in a case */
    SECTION_TUNE,
    SECTION_FOLDS,
    SECTION_KINDS
};

enum { SECTION_NAME = 48, MOST_TARGETS = 32, MOST_SEEDS = 10000 };

struct assignment { /* name = value */
    char *name, *value;
    const char *path; /* where it stands */
    int line;
};

struct section {
    enum section_kind kind;
    char name[SECTION_NAME], in[SECTION_NAME]; /* "": it has none */
    const char *path;                          /* where it begins */
    int line;
    struct assignment *list;
    int count;
};

struct experiment {
    char title[200]; /* else the file's name */
    int64_t *seeds;
    int seed_count;
    double targets[MOST_TARGETS]; /* top-1 in percent, rising */
    int target_count;
    struct section *sections; /* in the file's order */
    int section_count;
    char **paths; /* of the files that were read */
    int path_count;
    bool to_come; /* an included file is not there yet (experiment_request.check) */
};

struct experiment_request {
    const char *path;
    const char *results;         /* the study's folder: included files are looked for there first */
    const char *const *left_out; /* included files of these names are not read (NULL: the end): what
                                    is to be written is not needed before */
    bool check;                  /* only judged: what `nbsgd tune` writes need not be there yet */
};

struct experiment *experiment_load(const struct experiment_request *r);
void experiment_free(struct experiment *e);

/* The n-th section of that kind; NULL: there are not so many. */
const struct section *experiment_section(const struct experiment *e, enum section_kind kind, int n);
int experiment_count(const struct experiment *e, enum section_kind kind);
/* The section of that name; `in` "" for all but exceptions. NULL: there is none. */
const struct section *experiment_find(const struct experiment *e, enum section_kind kind,
                                      const char *name, const char *in);
/* Is that setting run in that case? */
bool experiment_has(const struct section *scene, const struct section *setting);
/* NULL: the section does not have it, or is NULL. */
const struct assignment *section_get(const struct section *s, const char *name);

/* As one file, which experiment_load() reads as this experiment. */
void experiment_write(const struct experiment *e, FILE *to);

/* A list of whole numbers and ranges, "1-5 101": 1 2 3 4 5 101. Fatal, naming `a`, on another one,
 * on a number that comes twice, and on more than MOST_SEEDS. To be released. */
int64_t *numbers_of(const struct assignment *a, int *count);
/* The same of up to MOST_TARGETS percentages, "60 70.5". */
int percentages_of(const struct assignment *a, double list[MOST_TARGETS]);
_Noreturn void refuse(const struct assignment *a, const char *what); /* "FILE:3: name: what" */

#endif
