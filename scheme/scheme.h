/* The schemes: who sends what to whom, and when. One file in scheme/ and one line in scheme.c's
 * list make a new one; the file's table says all that others need to know. */
#ifndef SCHEME_SCHEME_H
#define SCHEME_SCHEME_H

#include "node/node.h"

enum scheme_flags {
    SYNC = 1,        /* the result does not depend on delays */
    EXACT = 2,       /* it equals serial SGD on the joint batch to rounding */
    BOUNDED = 4,     /* no gradient is staler than `bound` */
    DECENTRAL = 8,   /* no server holds the weights, rank 0 only watches, and no worker may leave */
    REPLAYS = 16,    /* the order of arrivals makes the run: --record, --replay */
    PUSHES = 32,     /* workers push to servers, which step with it */
    COMPRESSES = 64, /* vectors are sent as --compress says */
    ALONE = 128,     /* runs in one process, without servers: work() walks through all workers */
    LOCKSTEP = 256,  /* every server makes the same updates, in one order */
    SURVIVES = 512,  /* it goes on without a worker that is lost: ps_go_on_without() */
    GOSSIP = 1024,   /* neighbours on a graph mix (gossip/gossip.h): --topology */
    OWN_WEIGHTS = 4096, /* workers have weights of their own, whose mean is judged */
    OUTER = 8192,       /* has an outer step of all workers: --outer-every */
    SUMS = 2048,        /* workers sum among themselves (collective/collective.h): --allreduce */
};

/* W: workers, n: floats of the weights, H: local steps. */
struct scheme {
    const char *name, *rule, *paper;
    unsigned flags;
    int bound;             /* of the staleness, in updates */
    const char *messages;  /* with a vector, per update */
    const char *floats;    /* that a worker sends and receives, per update */
    const char *staleness; /* in words, for the table */
    /* what it does otherwise than its paper; NULL: nothing */
    const char *deviations;
    const struct option_set *options; /* its own; NULL: none */

    /* Fatal when options do not go together; NULL: nothing to check. What flags decide is checked
     * for all schemes by scheme_check(). */
    void (*check)(const struct options *o, int workers);

    /* What a checkpoint, which is cut at an update, must hold beyond the server's weights and
     * optimizer, all counters and each worker's place in its data: names that it gives node_keep(),
     * up to a '/'. Ends with NULL; NULL: nothing. */
    const char *const *state;

    void (*work)(struct node *n);  /* on a worker */
    void (*serve)(struct node *n); /* on a server; NULL: it needs none */
};

extern const struct scheme *const schemes[]; /* NULL at the end */

const struct scheme *scheme_find(const char *name); /* fatal when unknown, naming the nearest */

/* Fatal when an option has no use in this scheme, or two do not go together. */
void scheme_check(const struct scheme *s, const struct options *o, int workers);

/* The list of --help: name, rule, paper, in 80 columns. */
void schemes_list(FILE *to);

/* What docs/schemes.md says, in Markdown: the list, costs, papers and deviations. The first table
 * is the README's, too. */
void schemes_table(FILE *to);

#endif
