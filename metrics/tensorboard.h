/* TensorBoard's event files, as an option: scalars as they come. Private to metrics/. All do
 * nothing without it.
 *
 * A step is an update of the weights; the time of a point is the run's start and the training clock
 * since then, so "relative" shows the training clock. */
#ifndef METRICS_TENSORBOARD_H
#define METRICS_TENSORBOARD_H

#include "metrics/metrics.h"

struct tensorboard;

/* Of an earlier run in the folder of results: its event files there go. */
void tensorboard_forget(const struct results *r);

/* `to`: a folder; "yes": tensorboard/ in the folder of results; "no" or NULL: none, and NULL. */
struct tensorboard *tensorboard_open(struct results *r, const char *to);
/* From here on files are written. Makes the folder; in the results' own an earlier run's event
 * files go, unless this run goes on: then points at and after the first one that is written count
 * as gone. A failure is said, and is one of results_finish(). */
void tensorboard_begin(struct tensorboard *t);
void tensorboard_close(struct tensorboard *t); /* NULL is fine */

void tensorboard_evaluation(struct tensorboard *t, const struct evaluation *e);
void tensorboard_update(struct tensorboard *t, const struct progress *p);

#endif
