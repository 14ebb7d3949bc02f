/* What the files of study/ share. */
#ifndef STUDY_PRIVATE_H
#define STUDY_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "metrics/metrics.h"
#include "study/study.h"

enum { STUDY_PATH = 4400, MOST_WORDS = 512 };

/* list with room for one more than `count`, when count elements were added one by one */
void *grown(void *list, int count, size_t size);

/* A finite decimal number, and nothing else. */
bool read_real(const char *word, double *value);

/* --- cells --- */

enum cell_state {
    CELL_MISSING, /* or half written */
    CELL_DONE,
    CELL_DIVERGED, /* exit code 4: a result, too */
    CELL_FAILED
};

struct cell {
    char folder[300]; /* relative to the study's */
    const struct section *scene, *setting;
    int64_t seed;
    int trial, fold; /* of tuning; -1: none */
    const struct configured *of;
    char digest[17];
    enum cell_state state;
    int exit;      /* 128 + N: by signal N; -1: it has not ended */
    double wall_s; /* that it took; 0: not known */
    bool mine;     /* of this task of an array */
    bool tried;    /* by this process */
};

/* Options that were judged once, for all seeds. */
struct configured {
    const struct section *scene, *setting;
    int processes; /* 0: simulated, one process; else ranks */
    char *computed,
        *own;     /* lines name = value, without seed; what changes nothing that is computed */
    bool resumes; /* it writes checkpoints */
};

struct plan {
    const char *root; /* the study's folder */
    struct cell *cells;
    int *order; /* [count]: in which they are run */
    int count;
    struct configured **configured; /* owned */
    int configured_count;
    char *known_data; /* lines of study_program.configure()'s answers; NULL: none yet */
};

/* An option beyond the experiment's, of which the last one counts. */
struct extra {
    const char *name, *value;
};

/* Options of base, case, setting and exception, then `extra` (ended by a name of NULL), judged by
 * the program; fatal with file, line, setting and case. Owned by the plan. */
const struct configured *plan_configure(struct plan *p, const struct experiment *e,
                                        const struct section *scene, const struct section *setting,
                                        const struct extra *extra,
                                        const struct study_program *program);
/* Fatal on an option that a study says itself, or that has no place in one. */
void check_taken(const struct assignment *a);
struct cell *plan_add(struct plan *p);
/* Fatal when two settings, or two cases, are equal everywhere, or settings are not judged alike. Of
 * each setting in each case that has it as many runs are configured. */
void plan_check_comparison(const struct plan *p, const struct experiment *e);
/* Every cell's digest. */
void plan_digest(struct plan *p, const struct study_program *program);
void plan_close(struct plan *p);

/* --- a cell's folder --- */

/* Reads what is there; its summary.json says whether it has ended. A finished run of other options
 * or another program, or files that are no cell's: fatal, or, if it `refuses` none, missing. */
void cell_look(const struct plan *p, struct cell *c, const struct study_program *program,
               bool refuses);
/* The exit code of a run that is over, by its summary.json, which is written whole, and last of all
 * that counts: its being there is the one fact that a run is over, whatever is killed after it, the
 * run itself and the study before it notes the end included. -1: it is not over, or no result. */
int cell_outcome(const struct plan *p, const struct cell *c);
/* Makes way, writes options.ini and cell.ini. False: errno. *resumes: what was begun goes on. */
bool cell_begin(const struct plan *p, const struct cell *c, const struct study_program *program,
                bool *resumes);
bool cell_end(const struct plan *p, const struct cell *c, const struct study_program *program);
void cell_path(const struct plan *p, const struct cell *c, const char *name, char path[STUDY_PATH]);
/* The last thing that the run complained of; "": nothing. */
void cell_complaint(const struct plan *p, const struct cell *c, char *text, size_t size);
/* Does a run still write there? Waits for it for some seconds. */
bool cell_is_used(const struct plan *p, const struct cell *c);

/* --- the study's folder --- */

struct study_lock;
/* Fatal when it is another's, when another study runs there, or it cannot be made. */
struct study_lock *study_lock(const char *root);
void study_unlock(struct study_lock *l);
/* How many tasks share the cells, and which one this is: 1 and 0 without an array. */
void study_tasks(int *tasks, int *task);
/* Calls write() for ROOT/NAME while no other task does; ends the program when that fails. */
void study_write(const char *root, const char *name, bool (*write)(FILE *file, void *self),
                 void *self);

/* --- running --- */

struct runner_request {
    struct plan *plan;
    const struct study_program *program;
    int jobs;
    void (*ended)(void *self, const struct cell *c); /* a cell has ended */
    void *self;
};

/* Runs every missing or failed cell that is this task's; returns the exit code of the study. */
int plan_run(const struct runner_request *r);

struct plan_files {
    struct experiment *experiment;
    const char *experiment_name, *rows_name; /* in the plan's folder */
    bool (*write_rows)(FILE *file, void *rows);
    /* When all that could be run has ended; NULL: nothing to do. False: there is no conclusion. */
    bool (*conclude)(void *rows);
    void *rows;
};

/* Takes and judges the plan's folder, runs what is missing in plan->order, keeps the rows. Returns
 * the exit code; study_request.check is not looked at. */
int plan_carry_out(struct plan *p, const struct study_request *r,
                   const struct study_program *program, const struct plan_files *files);

/* --- what a cell has found --- */

struct cell_result {
    char *json; /* summary.json; NULL: there is none */
    size_t bytes;
    struct evaluation *list; /* of eval.csv; none: what it says is not known */
    int count;
    bool read; /* eval.csv is there, with its columns */
};

/* Of a cell that has a result; else nothing. cell_summary(): of any, its json alone. */
struct cell_result cell_result(const struct plan *p, const struct cell *c);
struct cell_result cell_summary(const struct plan *p, const struct cell *c);
void cell_result_close(struct cell_result *r);
enum { MOST_COLUMNS = 64 }; /* of a CSV */

struct cell_row {
    const struct plan *plan;
    const struct cell *cell;
    const double *targets;
    int target_count;
};

/* A field behind a comma, in quotes where it needs them (RFC 4180). */
void row_text(FILE *f, const char *text);
/* What each row of cells ends with, and its names: ",status,exit,..,folder\n". */
void row_names(FILE *f, const double *targets, int count);
void row_write(FILE *f, const struct cell_row *row);

/* A field of summary.json as it is written, without quotes; "" where it is null or missing. */
void cell_field(const struct cell_result *r, const char *name, char *text, size_t size);

#endif
