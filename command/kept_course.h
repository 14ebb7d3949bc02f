/* Checkpoints of a simulated run: its course (node/course.h), kept in files. All ranks are in one
 * process, so there is one file of state. */
#ifndef COMMAND_KEPT_COURSE_H
#define COMMAND_KEPT_COURSE_H

#include "command/checkpoints.h"

struct kept_course {
    struct course course; /* for the nodes */
    const struct checkpoints *checkpoints;
    struct checkpoint_writer *writer; /* NULL: none are written */
    int64_t number, last_samples;     /* of the last one */
    double last_s;                    /* the same, of wall clock */
    void (*arrived)(void *self);
    void *self;
};

/* Before the world is opened, after checkpoints_find(): of a run that is resumed the journal
 * forwards from here on, up to where it was kept; arrived(self) is called there. */
void kept_course_open(struct kept_course *k, const struct checkpoints *c,
                      const struct run_context *context, void (*arrived)(void *self), void *self);
/* Rank 0, when checkpoints_share() has made the plan. */
void kept_course_begin(struct kept_course *k, const struct run_context *context);
void kept_course_close(struct kept_course *k);

#endif
