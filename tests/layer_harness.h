/* Small networks for tests of backends, executed over the contract of backend/backend.h alone.
 *
 * A chain says which units there are and who reads which tensor; a trial gives it sizes, weights,
 * images and labels; a harness is a trial opened on a backend; an outcome is its results in plain
 * memory. Every tensor is full of NaN before a pass writes it. */
#ifndef TESTS_LAYER_HARNESS_H
#define TESTS_LAYER_HARNESS_H

#include "backend/backend.h"

enum { IMAGES = -1, NONE = -2, MOST_UNITS = 12, CLASSES = 7 };

/* A unit; channels are counted in widths, 0: as many as come in. A tensor is read by two units at
 * most. */
struct link {
    enum unit_kind kind;
    int input, skip, channels, kernel, stride, pad;
    bool norm, relu, bias; /* bias: of a convolution */
    bool hidden;           /* a dense layer that is not the last */
    float drop;
    bool by_channel; /* drops channels */
    int side;        /* of a mean pool's output, 0: 1 */
    int groups;      /* of a group norm */
};

struct chain {
    const char *name;
    struct link link[MOST_UNITS]; /* ends with a dense layer of CLASSES outputs, the logits */
};

struct size {
    int batch, c, h, w, width; /* of the images; channels in one width */
};

struct trial {
    const struct chain *chain;
    struct size size;
    int units;
    struct unit_shape shape[MOST_UNITS];
    int64_t offset[MOST_UNITS + 1],
        statistic[MOST_UNITS +
                  1]; /* of each unit in w, and in the statistics; then their lengths */
    float *w, *other_w, *images, *given; /* given: for inference, [mean | variance] of each norm */
    int32_t *labels;
    char name[120]; /* with the seed: what a failure must say */
};

void trial_open(struct trial *t, const struct chain *chain, struct size size, uint64_t seed);
void trial_close(struct trial *t);

/* What is plain, and so can be compared. */
struct outcome {
    float *g, *dlogits, *logits, *statistics; /* of training */
    float *counted, *counted_statistics;      /* of training's forward with nothing saved */
    float *inferred;                          /* of inference */
    struct loss loss;
};

void outcome_open(struct outcome *o, const struct trial *t);
void outcome_close(struct outcome *o);

/* The gradient that unit i writes for its input lies in dx[i], for its skip in dskip[i]. */
struct harness {
    const struct trial *t;
    const struct backend *b;
    bool rounds; /* cuts weights, activations and their gradients to bf16: for backends that keep
                    plain floats */
    struct device *d;
    struct unit *unit[MOST_UNITS];
    struct unit_sizes sizes[MOST_UNITS];
    float *w_here; /* the host's; what follows is the device's */
    float *w, *g, *statistics;
    struct loss *loss;
    uint64_t *key; /* of dropout */
    void *images, *labels, *dlogits, *y[MOST_UNITS], *saved[MOST_UNITS], *dx[MOST_UNITS],
        *dskip[MOST_UNITS];
};

void harness_open(struct harness *k, const struct trial *t, const struct backend *b,
                  const struct device_options *options);
void harness_close(struct harness *k);

/* One step and both kinds of evaluation; `weights_version` as in struct unit_io. */
void harness_once(struct harness *k, uint64_t weights_version, struct outcome *o);

/* The same after a step with other weights: under another weights_version, or without
 * weights_versions. */
void harness_again(struct harness *k, bool weights_versions, struct outcome *o);

/* How near anything comes to where a step is not smooth: what goes into a ReLU to 0, the second
 * greatest of a max pool's window to the greatest; in parts of its unit's root mean square. Below
 * the rounding of two backends they may fall on different sides. For backends that keep plain
 * floats as [batch][h][w][c]. */
double harness_margin(const struct trial *t, const struct backend *b);

#endif
