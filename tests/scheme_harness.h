/* A scheme run on the simulated network with a problem that records every gradient.
 *
 * The ledger's "gradient" says who made it: g[0] = -1, so that with plain SGD at rate 1 w[0] counts
 * the updates and a gradient can read off the version of the weights it was given; g[1 + worker] =
 * -1, so that w[1 + i] becomes the sum over versions of worker i's part in them. The last floats
 * are the first ones mirrored: with several servers another one has them. Its evaluation's loss is
 * w[0]. */
#ifndef TESTS_SCHEME_HARNESS_H
#define TESTS_SCHEME_HARNESS_H

#include "base/options.h"
#include "node/node.h"

enum { LEDGER_FLOATS = 2048, MAX_ENTRIES = 200000 };

struct entry { /* one finished gradient */
    int worker;
    int64_t index;   /* of the worker's stream */
    int64_t version; /* of the weights it was computed at */
};

struct ledger {
    struct entry *entry;
    int entries;
};

/* Fills *p with a problem that writes into *l; xfree(l->entry) when done. */
void ledger_problem(struct problem *p, struct ledger *l, int minibatch);

struct outcome {
    float *w; /* the server's at the end, [count] of the problem; with several servers all slices */
    int64_t *versions; /* [servers]; updates of each */
    int64_t count, updates, samples, sent_messages;
    int status;
    double seconds;
    struct counters server, *worker; /* [workers] */
};

enum { MAX_WORDS = 40, MAX_WORD = 120 };

struct experiment { /* not to be moved once its options are set: they borrow from text */
    char text[MAX_WORDS][MAX_WORD];
    struct options options; /* experiment_defaults() fills them */
    int servers, workers;
    const struct scheme *scheme; /* NULL: that of the options */
    struct problem *problem;     /* NULL: a ledger */
    struct ledger *ledger;
    const struct machine *machine; /* NULL: vector work takes no time, the links are all alike */
    double jitter;                 /* standard deviation / mean of mini-batches' times */
    bool together;                 /* ranks evaluate by messages, as processes do */
    bool stop_requested;           /* as by a signal, from the beginning */
    const struct device_optimizer_kind *device_optimizer; /* NULL: what server-device says */
    struct results *results;                              /* NULL: nothing is written */
    const struct course *course;                /* that it keeps, or is resumed by; NULL: none */
    const struct links *links;                  /* of the network; NULL: as the options say */
    struct faults *faults;                      /* NULL: none; borrowed */
    void (*opened)(void *self, struct node *n); /* on each rank, before it works; NULL */
    void *opened_self;
    struct outcome out;
};

/* Options as the program has them, then the given "name=value" words, NULL at the end. */
void experiment_defaults(struct experiment *e, const char *const *words);

/* Runs it; e->out is valid until experiment_close(). */
void experiment_run(struct experiment *e);
void experiment_close(struct experiment *e);

#endif
