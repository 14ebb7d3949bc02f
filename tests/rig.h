/* A network with all that a step needs; weights, pictures and labels follow the formula of reference/step.py.
 *
 * An engine is a backend in one of its types; everything that the tests say of networks must hold on each. */
#ifndef TESTS_RIG_H
#define TESTS_RIG_H

#include "architecture.h"
#include "backend.h"
#include "network.h"
#include "resnet.h"

enum { MOST_ENGINES = 16, FORMULA_BATCHES = 3, FORMULA_SIGNS = 999 };

struct engine {
    const struct backend *backend;
    enum backend_dtype dtype;
    char name[24]; /* "onednn bf16" */
    bool tf32;
};

int list_engines(struct engine list[MOST_ENGINES]); /* all that this machine's CPU runs, fastest first */

/* The loops of the reference, in double: a backend for tests alone. Weights, their gradients and statistics are float32 as
 * everywhere; what lies between is double, the logits too. */
extern const struct backend backend_double;

struct rig_options {
    struct resnet_options resnet;
    double smoothing;
    int seed, threads;
    const char *cache; /* of the device, NULL: none */
};

struct rig {
    struct rig_options options;
    struct architecture a;
    struct engine engine;
    struct device *device;
    struct network *network;
    int64_t floats, statistic_floats;
    float *w, *g, *statistics, *floats_of_pictures;
    struct pictures pictures; /* those floats */
    int32_t *labels;
    uint64_t stamp; /* of w: who changes w adds one */
    char name[120]; /* what a failure must say */
};

/* Weights and batch 0 are there then; statistics: mean 0 and variance 1. */
void rig_open(struct rig *r, const struct engine *engine, const struct rig_options *options);
void rig_close(struct rig *r);

void rig_set_weights(struct rig *r, int seed);
void rig_set_batch(struct rig *r, int number); /* 0 .. FORMULA_BATCHES-1 */

/* The gradient of the batch at w under its stamp, into r->g. */
struct loss rig_gradient(struct rig *r);
struct loss rig_evaluate(struct rig *r); /* with r->statistics */

/* In [-1, 1): element i of what the key names. */
double formula_at(uint32_t key, uint32_t i);

/* Where element i of a tensor, counted as PyTorch does, lies in the flat vector. */
int64_t place_of(const struct tensor *t, int64_t i);

#endif
