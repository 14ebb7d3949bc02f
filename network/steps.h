/* A network's work as a list of steps, made once when it is opened.
 *
 * One list serves every backend: network/execute.c runs it in order where the backend works in the
 * host's memory, and records it in segments on a device. Transfers of weights, losses and gradients
 * are steps of the list too; they do nothing in the host's memory.
 *
 * A gradient: key, images, labels, weights of each stage; forward 0 .. units - 1, loss, backward
 * units - 1 .. 0. An evaluation: statistics, images, labels, weights; forward; loss. A segment is a
 * stage forward or a stage back, with the transfers that follow it; the stem goes with the first
 * stage and the head with the last, since both are short. */
#ifndef NETWORK_STEPS_H
#define NETWORK_STEPS_H

#include "base/vector.h"
#include "model/model.h"

enum step_kind {
    STEP_KEY,               /* of dropout's masks, to the backend */
    STEP_STATISTICS_UPLOAD, /* of the norms, to the backend */
    STEP_IMAGES,            /* the batch, as the first unit reads it */
    STEP_LABELS,
    STEP_WEIGHTS_UPLOAD, /* floats of w that `segment` reads first */
    STEP_FORWARD,        /* of a unit */
    STEP_LOSS,
    STEP_BACKWARD, /* of a unit */
    STEP_LOSS_DOWNLOAD,
    STEP_GRADIENT_DOWNLOAD, /* floats of g that the segment before has made final */
    STEP_STATISTICS_DOWNLOAD,
};

struct step {
    enum step_kind kind;
    int unit;            /* STEP_FORWARD, STEP_BACKWARD */
    int segment;         /* STEP_WEIGHTS_UPLOAD; -1: all wait for it */
    struct range floats; /* of the transfers of weights and gradients; may be empty */
    int hook;            /* number of the hook point after it, -1: none */
    int64_t final_from;  /* floats of g from here on are final after it */
};

struct segment {
    int first, last, end; /* steps that are computed: first .. last; transfers before `end` */
    int first_hook, last_hook;
    int64_t final_before, final_after; /* floats of g from here on are final */
};

struct steps {
    struct step *step;
    struct segment *segment;
    int count, segments; /* segments: 0 in an evaluation */
};

/* Of a model: where each unit's parameters begin in w and g, and the first float of g that is final
 * after each unit's backward. */
struct steps_layout {
    const struct model *model;
    const int64_t *offset, *final_from; /* [units] */
};

void steps_open_gradient(struct steps *s, const struct steps_layout *layout);
void steps_open_evaluation(struct steps *s, const struct steps_layout *layout);
/* Forward with the batch's own statistics, which it downloads. */
void steps_open_statistics(struct steps *s, const struct steps_layout *layout);
void steps_close(struct steps *s);

#endif
