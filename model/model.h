/* What a network is: a list of units, their parameters' names and places, their first weights and
 * their cost.
 *
 * A member of the family describes itself in a `struct model_kind` in its own file and builds its
 * list with the calls of model/builder.h; the family's list is problem/models.c.
 *
 * Pure data: unit i reads the tensors written by units `input` and `skip` (earlier in the list, or
 * IMAGES) and writes tensor i. The last unit's output are the logits. Parameters of all units lie
 * in one flat vector, in PyTorch's order; a table names each tensor as PyTorch does. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "backend/backend.h"
#include "base/options.h"
#include "model/builder.h"
#include "serialization/serialization.h"

enum { IMAGES = -1, NO_SKIP = -2, MAX_UNITS = 400 };

struct unit_spec {
    struct unit_shape shape;
    int input, skip;
    char weight[64], norm[64]; /* PyTorch's module names: "layer1.0.conv1" and "layer1.0.bn1"; a
                                  dense layer's is in weight */
    bool zero_gamma;           /* its norm's first gamma is 0 instead of 1 */
    int parameter_index; /* of its parameters in the flat vector: 0, 1, ... in PyTorch's order */
    int stage; /* 0 stem, 1.. the stages, last + 1 the head: buckets and delays go by it */
};

struct model {
    char name[32];
    const char *first_hint;                      /* tensor_table's */
    int batch, classes, channels, height, width; /* of the images */
    int units;
    struct unit_spec unit[MAX_UNITS];
};

/* What a model is built for. */
struct model_request {
    const char *name; /* one of the member's */
    int batch, classes, channels, height, width;
    const void *own; /* the member's options, the struct that its header names; NULL: its presets */
};

/* A member of the family. */
struct model_kind {
    const char *names;                /* that it answers to: "resnet18|resnet34" */
    const char *summary, *paper;      /* a line each */
    const struct option_set *options; /* its own, for model_request.own; NULL: none */
    /* What distinguishes two networks of one name, one word: machine files key times by it. NULL:
     * nothing, "cifar" in the key. */
    void (*variant)(const void *own, char *text, size_t size);
    /* Fills *m. Fatal when the options are wrong or the images too small. */
    void (*build)(struct model *m, const struct model_request *request);
};

struct lenet5_options {
    double dropout; /* before each dense layer; 0: none */
};
extern const struct model_kind model_lenet5;

struct vgg_options {
    const char *hidden; /* sizes of the hidden dense layers, "4096,4096" */
    double dropout;     /* after each of them; 0: none */
};
extern const struct model_kind model_vgg;

struct mlp_options {
    const char *hidden; /* sizes of the hidden layers, "200,200"; "": none */
};
extern const struct model_kind model_mlp;

extern const struct model_kind model_optml, model_dinno; /* no options of their own */

int64_t model_parameters(const struct model *a);
/* floats: mean and variance of each norm, in the list's order */
int64_t model_statistics(const struct model *a);
/* [units]: where each unit's parameters begin in the flat vector, and the first float of a gradient
 * that is final after the unit's backward. */
void model_offsets(const struct model *a, int64_t *offset, int64_t *final_from);
double model_flops(const struct model *a); /* of one image, forward */
/* part of a training step's FLOPs, steps 0 .. 2 x units - 1 */
double model_unit_share(const struct model *a, int step);

/* The tables; *count gets their length, free with xfree(). Statistics: running_mean,
 * running_var. */
struct tensor *model_tensors(const struct model *a, int *count);
struct tensor *model_statistic_tensors(const struct model *a, int *count);

/* Both in one, as readers and writers of files take them; free with model_table_free(). */
struct tensor_table model_table(const struct model *a);
void model_table_free(struct tensor_table *table);

/* weights_save() and weights_load() with the model's table. */
bool model_save(const struct weights_target *to, const struct model *a, const float *w,
                const float *statistics);
const char *model_load(const char *path, const struct model *a, float *w, float *statistics,
                       bool *has_statistics);

/* He's initialisation (2015): normal, deviation sqrt(2 / (kh kw out)), bias 0; gamma 1 (0 where a
 * unit's zero_gamma says so), beta 0; dense: uniform(+-1/sqrt(in)). A pure function of (model,
 * seed). */
void model_initialise(const struct model *a, uint64_t seed, float *w);

void model_print(const struct model *a, FILE *to); /* unit, shape, parameters, FLOPs */

#endif
