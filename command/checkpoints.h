/* Checkpoints as a run is told of them: --checkpoint-*, --resume. Rank 0 finds what to go on from
 * and hands it to the others, which share the folder. */
#ifndef COMMAND_CHECKPOINTS_H
#define COMMAND_CHECKPOINTS_H

#include <limits.h>

#include "node/node.h"
#include "scheme/scheme.h"

struct checkpoints {
    struct checkpoint_plan plan; /* for the nodes; its pointers lead to what follows */
    char folder[PATH_MAX];       /* of checkpoints */
    struct checkpoint *resume;   /* NULL: the run begins */
    bool anew;           /* simulated: its course begins there, from what each rank had kept */
    char rows[PATH_MAX]; /* rank 0: a folder of results */
    struct results_place results; /* rank 0: where its rows are and how far they were */
    char *facts;
};

/* Fatal on options that do not go together. */
void checkpoints_check(const struct options *o);

/* From now on this rank reads a checkpoint, which may take longer than a deadline. Returns what it
 * did, to go back to. */
struct net_activity checkpoints_act(struct net *net);

/* Rank 0, before data are read: finds what --resume names, and says what was skipped. Fatal where
 * there is none, and where it is of another configuration. */
void checkpoints_find(struct checkpoints *c, const struct options *o, const struct scheme *scheme,
                      int ranks);

/* Collective, after rank 0 has its folder of results: all ranks have the plan. Simulated ranks
 * share it; how they go on is command/kept_course.h's. */
void checkpoints_share(struct checkpoints *c, const struct options *o, struct net *net,
                       const char *results, const struct run_context *context);

/* Rank 0: the evaluations so far are the results' again. */
void checkpoints_restore(const struct checkpoints *c, struct results *results);
void checkpoints_close(struct checkpoints *c);

#endif
