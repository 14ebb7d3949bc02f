/* What the files of network/ have in common. */
#ifndef NETWORK_PRIVATE_H
#define NETWORK_PRIVATE_H

#include "network/memory_plan.h"
#include "network/network.h"
#include "network/steps.h"

struct network {
    struct model a;
    const struct backend *backend;
    struct device *device;
    float smoothing;
    struct network_listener listener;
    struct unit **unit;
    struct unit_sizes *sizes;
    int64_t *offset;     /* of each unit's parameters in the flat vector */
    int64_t *final_from; /* when unit i's backward is done, floats from here on are final */
    int64_t *statistic;  /* of each unit's mean and variance in the statistics */
    int (*reader)[2];    /* units that read unit i's output: -1 for none */
    struct memory_plan training, evaluation;
    struct steps gradient_steps, evaluation_steps, statistics_steps;
    bool busy;         /* a gradient is under way */
    void *aside;       /* memory for an evaluation in the middle of a gradient */
    float *statistics; /* of all norms, in an evaluation; the backend's memory */
    int32_t *labels;
    uint64_t *key;            /* of the gradient under way (struct images); the backend's memory */
    int64_t *confusion;       /* network_count_predictions()'s */
    struct device_side *side; /* NULL: the backend reads and writes where the caller has it */
};

/* One run of a list of steps. */
struct execution {
    struct network *n;
    const struct steps *steps;
    const struct memory_plan *plan; /* with a base */
    enum unit_mode mode;
    struct weights host_w, w; /* the caller's; where the backend reads them */
    bool w_is_resident;       /* on the device: they need no upload */
    struct images images;
    const int32_t *labels; /* [batch], of which `count` count */
    int count;
    const float *statistics; /* that an evaluation is given */
    float *host_g, *g;       /* the caller's; where the backend writes it; NULL: no gradient */
    struct loss *loss;       /* where the backend puts the sums */
    int w_slot, sums_slot;   /* of device_side */
};

/* What unit i reads and writes, as the plan has it; with g == NULL no gradients. */
struct unit_io network_io(const struct network *n, const struct memory_plan *p, int i,
                          struct weights w, float *g);

/* ---- network/execute.c */

/* Every step in turn; the hook is called at the hook points (NULL: never). False: it said no. */
bool execute_in_order(struct execution *x, network_hook *hook, void *self);

/* On a device: a gradient, recorded in segments. Returns when all that was started is done. */
bool execute_in_segments(struct execution *x, network_hook *hook, void *self);

/* ---- network/device_side.c: memory of a device beside what a plan holds */

enum { SLOT_GRADIENT, SLOT_ASIDE, SLOTS }; /* ASIDE: of evaluations in the middle of a gradient */

struct device_side {
    float *w[SLOTS]; /* [parameters]; ASIDE: NULL until it is needed */
    uint64_t weights_version[SLOTS];
    float *g;               /* [parameters] */
    struct loss *sums;      /* [SLOTS]: of gradients; of evaluations */
    struct loss *host_sums; /* [SLOTS]; this block holds the statistics, too: registered pages */
    float *host_statistics;
    struct graph_segment **segment; /* one for each of the gradient's */
};

void device_side_open(struct network *n, bool training);
void device_side_close(struct network *n);

/* Points the execution to the device's memory: weights, gradient and sums. An evaluation reads the
 * gradient's weights where their weights_version is the wanted one. */
void device_side_begin(struct execution *x);

#endif
