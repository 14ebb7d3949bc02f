/* The course of a simulated run, kept so that the run can be resumed bit for bit. Part of the front
 * door, node/node.h.
 *
 * In the simulated world a rank is a coroutine, and no file can hold its stack. So a run is resumed
 * by going through it once more from its beginning, without its arithmetic: it is forwarded. Every
 * number that it had taken from its vectors comes from the journal (base/journal.h), and so all
 * happens again at the same virtual times. Where it was kept, its vectors are filled in, and it
 * goes on by itself.
 *
 * It is kept at an update of rank 0, when that is counted and nothing was decided by it. What is
 * kept: the journal; each rank's blocks of net_alloc() and its own vectors (node_vector(),
 * node_allocator()), in the order in which they were made; a number for all that has happened; and
 * what ranks keep by name (node_keep()), for a run that goes on with another number of workers. No
 * virtual time passes, and no row changes. Cost of resuming: the events alone. */
#ifndef NODE_COURSE_H
#define NODE_COURSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "checkpoint/checkpoint.h"

struct journal; /* base/journal.h */
struct node;

struct limits {      /* of a run, and after how many samples it is evaluated */
    double seconds;  /* of the training clock; 0: none */
    int64_t updates; /* 0: none */
    int64_t samples, evaluate_every;
};

struct course {
    struct journal *journal;
    int64_t forward_to;   /* while the journal forwards: the update at which it was kept */
    struct limits limits; /* the same: those of the run that was kept; this one may have others */

    /* Rank 0 has made an update, which may be the last one: is it to be kept? */
    bool (*is_due)(void *self, const struct node *n, bool last);
    /* Keeps this, copied or written before it returns; and for others "weights", those of the
     * servers or of the first worker, and the "statistics" of the last evaluation. */
    void (*keep)(void *self, struct node *n, const struct kept *state, int count);
    /* Fills it in; false: there is none of that name and length. */
    bool (*fill)(void *self, const struct kept *to);
    /* The run is where it was kept: from here on it goes on by itself. NULL: nobody asks. */
    void (*arrived)(void *self, struct node *n);
    void (*end)(void *self, struct node *n); /* rank 0: training is over. NULL: nobody asks */
    void *self;
};

#endif
