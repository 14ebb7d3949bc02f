/* A network with all that a step needs; weights, images and labels follow the formula of
 * reference/step.py.
 *
 * An engine is a backend in one of its types; everything that the tests say of networks must hold
 * on each. */
#ifndef TESTS_NETWORK_FIXTURE_H
#define TESTS_NETWORK_FIXTURE_H

#include "model/model.h"
#include "backend/backend.h"
#include "network/network.h"
#include "problem/problem.h"
#include "resnet/resnet.h"

enum { MOST_ENGINES = 16, FORMULA_BATCHES = 3, FORMULA_SIGNS = 999 };

struct engine {
    const struct backend *backend;
    enum backend_dtype dtype;
    char name[24]; /* "onednn bf16" */
    bool tf32;
};

/* all that this machine's CPU runs, fastest first */
int list_engines(struct engine list[MOST_ENGINES]);

/* The loops of the reference, in double: a backend for tests alone. Weights, their gradients and
 * statistics are float32 as everywhere; what lies between is double, the logits too. */
extern const struct backend backend_double;

struct fixture_options {
    struct model_request model; /* a ResNet's own options follow from `stem` */
    const char *stem;
    double smoothing;
    int seed, threads;
    const char *cache; /* of the device, NULL: none */
};

struct network_fixture {
    struct fixture_options options;
    struct model a;
    struct engine engine;
    struct device *device;
    struct network *network;
    int64_t floats, statistic_floats;
    float *w, *g, *statistics, *floats_of_images;
    struct images images; /* those floats */
    int32_t *labels;
    uint64_t weights_version; /* of w: who changes w adds one */
    char name[120];           /* what a failure must say */
};

/* Weights and batch 0 are there then; statistics: mean 0 and variance 1. */
void fixture_open(struct network_fixture *r, const struct engine *engine,
                  const struct fixture_options *options);
void fixture_close(struct network_fixture *r);

void fixture_set_weights(struct network_fixture *r, int seed);
void fixture_set_batch(struct network_fixture *r, int number); /* 0 .. FORMULA_BATCHES-1 */

/* The gradient of the batch at w under its weights_version, into r->g. */
struct loss fixture_gradient(struct network_fixture *r);
struct loss fixture_evaluate(struct network_fixture *r); /* with r->statistics */

/* In [-1, 1): element i of what the key names. */
double formula_at(uint32_t key, uint32_t i);

/* Where element i of a tensor, counted as PyTorch does, lies in the flat vector. */
int64_t place_of(const struct tensor *t, int64_t i);

#endif
