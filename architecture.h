/* What a network is: a list of units, their parameters' names and places, their first weights and their cost.
 *
 * Pure data: unit i reads the tensors written by units `input` and `skip` (earlier in the list, or PICTURES) and writes tensor i.
 * The last unit's output are the logits. Parameters of all units lie in one flat vector, in PyTorch's order; a table names each
 * tensor as PyTorch does. */
#ifndef ARCHITECTURE_H
#define ARCHITECTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "backend.h"

enum { PICTURES = -1, NO_SKIP = -2, MAX_UNITS = 400 };

struct unit_spec {
    struct unit_shape shape;
    int input, skip;
    char weight[64], norm[64]; /* PyTorch's module names: "layer1.0.conv1" and "layer1.0.bn1"; a dense layer's is in weight */
    int place;                 /* of its parameters in the flat vector: 0, 1, ... in PyTorch's order */
    int stage;                 /* 0 stem, 1.. the stages, last + 1 the head: buckets and delays go by it */
};

struct architecture {
    char name[32];
    int batch, classes, channels, height, width; /* of the pictures */
    int units;
    struct unit_spec unit[MAX_UNITS];
};

/* One tensor of the flat vector w, or of the statistics beside it. */
struct tensor {
    char name[80];         /* "layer1.0.conv1.weight" */
    int64_t offset, count; /* floats */
    int dims, shape[4];    /* as in PyTorch: [out, in, kh, kw]; in memory convolutions lie as [out][kh][kw][in] */
    bool decays;           /* a weight: norms and biases are spared by weight decay when the option says so */
    int stage;
};

int64_t architecture_parameters(const struct architecture *a);
int64_t architecture_statistics(const struct architecture *a);          /* floats: mean and variance of each norm, in the list's order */
double architecture_flops(const struct architecture *a);                /* of one picture, forward */
double architecture_unit_share(const struct architecture *a, int step); /* part of a training step's FLOPs, steps 0 .. 2 x units - 1 */

/* The tables; the caller frees with release(). *count gets their length. */
struct tensor *architecture_tensors(const struct architecture *a, int *count);
struct tensor *architecture_statistic_tensors(const struct architecture *a, int *count); /* running_mean, running_var */

/* He's initialisation (2015): normal, deviation sqrt(2 / (kh kw out)); gamma 1 (with zero_gamma: 0 in the last norm of each
 * residual block), beta 0; dense: uniform(+-1/sqrt(in)). A pure function of (architecture, seed). */
void architecture_initialise(const struct architecture *a, uint64_t seed, bool zero_gamma, float *w);

void architecture_print(const struct architecture *a, FILE *to); /* unit, shape, parameters, FLOPs */

#endif
