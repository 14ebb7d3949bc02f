/* What node/node.c, node/wait.c and node/evaluation.c share. */
#ifndef NODE_PRIVATE_H
#define NODE_PRIVATE_H

#include "node/node.h"

struct node_private {
    double started_s, paused_s; /* of net_now(); seconds that the training clock stood */
    double trained_s; /* rank 0: of the training clock, at the last update; what comes behind the
                         last is no training */
    double unit_s;    /* when the unit under way began */
    double *units_s;  /* on the virtual clock: what each unit of the mini-batch under way takes */
    double held_s;    /* slowness not yet slept */
    double slow;      /* speed factor */
    int64_t attempts; /* mini-batches begun: what delays are keyed by */
    struct stream **streams; /* one, or serial: one a worker */
    int64_t *nexts;
    int stream_count, selected;
    bool *gone; /* [ranks] */

    /* node_on_gradient_ready()'s, for this mini-batch; NULL: nobody */
    void (*tell)(void *self, const float *vector, int64_t from);
    void *listener;
    float *where;         /* the gradient under way */
    int64_t least, final; /* floats between two calls; from here on it is the sum's, and told */

    double limit_s;           /* of the training clock: node_set_deadline()'s */
    bool (*hear)(void *self); /* node_set_interrupt()'s */
    void *self;
    struct request *const *wake;

    struct request *pause; /* posted for TAG_PAUSE */
    bool called;           /* to a pause, at pause_version or later */
    int64_t pause_version;

    void (*bring)(void *bringer); /* node_before_evaluation()'s */
    void *bringer;
    double brought_s; /* rank 0: that this took */
    float *gathered;  /* whole weights of an evaluation where they lie in several slices */
    double *sums;     /* batch-norm sums, in memory that can be sent */
    float *statistics;
    struct evaluation evaluation;      /* the last one */
    int64_t next_evaluation;           /* samples */
    struct request **slices, **copies; /* [ranks]; what an evaluation has lent to each rank */
    bool evaluated;                    /* the current version is */
    bool save_failed;                  /* and it was said */
    double first_loss;                 /* of the first weights */
    int climbing;                      /* evaluations in a row with a greater one */
    const char *guard;                 /* what node_guard() has said; NULL: nothing */
    double training_loss;              /* summed over samples since the last evaluation */
    int64_t training_samples;
};

static inline double
node_clock_at(const struct node *n,
              double now_s) /* what node_clock() shows when net_now() shows this */
{
    return now_s - n->own->started_s - n->own->paused_s;
}

/* has node_set_deadline()'s time passed then? */
bool node_limited(const struct node *n, double now_s);

bool node_interrupted(struct node *n); /* is the mini-batch under way to be dropped? Asks hear(),
                                          and looks at the clock */

/* Waits for one request, whatever the training clock does, then returns; ends the run when a rank
 * falls silent. */
void node_await(struct node *n, struct request *request, const char *what, int peer);

/* Rank 0: all evaluate the current version; writes the score and, with --save, the weights. Nothing
 * to do twice for a version. */
void node_evaluate(struct node *n);

/* Rank 0: the loss of that rank (NET_ANY: of an evaluation) is no longer a number. Training ends,
 * the last good evaluation stays. */
void node_diverged(struct node *n, int rank);

/* Rank 0, after an evaluation: says so when the run goes wrong. node_guarded(): "nan", "climbs",
 * "chance" or NULL. */
void node_guard(struct node *n);
const char *node_guarded(const struct node *n);

void node_join_evaluation(struct node *n); /* the other ranks' part, when TAG_PAUSE has come */

#endif
