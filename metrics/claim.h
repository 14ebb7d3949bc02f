/* Who may write into a folder of results. Part of the front door, metrics/metrics.h.
 *
 * A run claims its folder before it writes anything. The folder then has a marker, the text file
 * .nbsgd, which says who the run is: its name, process, host and start. As long as the run lives it
 * holds a lock on the marker (flock), which the kernel takes back however the run ends.
 *
 *   what is there                        is taken
 *   nothing, an empty folder             yes
 *   a folder in which a run writes now   never
 *   an earlier run's files               with --overwrite, or to go on with that run
 *   anybody else's files                 with --overwrite; none is deleted
 *
 * Where the file system has no locks one line says so, and a marker counts as a lock.
 * Everything in a folder with a marker is the run's: its checkpoints, too. */
#ifndef METRICS_CLAIM_H
#define METRICS_CLAIM_H

#include <stdbool.h>

struct claim_request {
    const char *wanted; /* --results; "": a new folder, results/run-DATE-SCHEME[-N] */
    const char *scheme; /* for its name */
    const char *save;   /* --save: where this run's weights go, for claim_saved() */
    bool overwrite;
    bool resume; /* the run in that folder goes on: an earlier run's files are no hindrance */
};

/* Fatal when the wanted folder would be refused now. Touches nothing. */
void claim_check(const struct claim_request *r);

/* Claims the folder, which is made if need be; fatal when it is refused or cannot be made. */
struct claim *claim_open(const struct claim_request *r);
/* After all is written. The marker stays. */
void claim_close(struct claim *c);

const char *claim_folder(const struct claim *c);
/* The name of the run, which no other run has: DATE-TIME-HOST-PID. With `resume` it is the earlier
 * run's. */
const char *claim_run(const struct claim *c);
/* Where the weights of the run went that goes on; "": nowhere; NULL: this run begins. */
const char *claim_saved(const struct claim *c);
/* From now on they go to that file, which may be replaced. A run that goes on says so itself, when
 * the file is known not to be another's: of one that is refused the marker stays as it was. */
void claim_set_saved(const struct claim *c, const char *save);
/* Is what was there an earlier run's? */
bool claim_has_earlier(const struct claim *c);

#endif
