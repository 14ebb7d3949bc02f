/* Studies: many runs of nbsgd, of which the missing ones are run.
 *
 * A cell is one run: a setting in a case with a seed. Its folder is a run's folder of results, with
 * three files beside: cell.ini, the study's note, in which the digest of the program and of all
 * options stands; options.ini, with which `nbsgd --config` runs it again; log, what it printed. A
 * cell whose note says that it has ended is never run again. One that was not is begun anew, or,
 * where its options say --checkpoint-every, resumed.
 *
 * Simulated cells run as many at once as there are cores, each a process of one thread. The others
 * run by the real clock, so one at a time and with nothing beside: by launch/cell.sh. Of an array
 * of Slurm each task takes every N-th cell. Children end with their study. */
#ifndef STUDY_STUDY_H
#define STUDY_STUDY_H

#include <signal.h>

#include "base/options.h"
#include "study/experiment.h"

/* What only the program as a whole knows; command/ hands it in. */
struct study_program {
    const char *name;                  /* "nbsgd 0.2.0 (0123456789ab)" */
    const char *identity;              /* for digests: two programs that may differ differ in it */
    const volatile sig_atomic_t *stop; /* not 0: end soon */

    /* Judges the words of a run as the run would, and is fatal on the same mistakes; called in a
     * process of its own. Writes to `to` lines of text: "processes N" (0: one, simulated; else the
     * ranks to start); "data DIGEST WHICH" where it reads data, which takes time: `known` has such
     * lines of earlier answers; then all options, name = value, and "# NAME: WHAT" of what else
     * counts; a line "--", and after it options that do not change what is computed. */
    void (*configure)(int argc, char **argv, struct option_files *files, const char *known,
                      FILE *to);
};

struct study_request {
    const char *file, *results;
    int jobs;     /* simulated cells at once; 0: as many as there are cores */
    bool check;   /* judges all, and runs nothing */
    bool targets; /* of study_tune() */
};

/* Runs what is missing; writes study.ini and study.csv. Fatal on what the user can mend, before
 * anything runs. Returns the exit code: 0, EXIT_CELLS where a cell has failed, EXIT_STOPPED, or
 * EXIT_WORLD where the disk takes no more. */
int study_run(const struct study_request *r, const struct study_program *program);

/* The trials of [tune], as many for every setting in every case, judged by the time to the target
 * on held-out training images, then by their best accuracy; never-reached is infinity, and
 * what diverged comes last. Writes trials.csv and, when all have ended, tuned.ini. With r->targets:
 * tunes the reference, repeats its winner, and writes targets.ini. The same codes. */
int study_tune(const struct study_request *r, const struct study_program *program);

/* The grid of [folds], each point K times, each time judged by another K-th of the training images,
 * which is held out. Writes folds.csv and, when all have ended, folds-means.csv. The same codes. */
int study_folds(const struct study_request *r, const struct study_program *program);

#endif
