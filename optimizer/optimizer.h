/* What a gradient does to the weights, and how fast: update rules and learning-rate schedules.
 *
 * Rules work on a range of the flat vector (a server has a slice, a bucket may come early), one
 * pass over memory, on the threads that are given. Sources: SGD and Nesterov as in PyTorch (m <- mu
 * m + g + decay w; w <- w - rate m, or g + mu m), Adam (Kingma, Ba 2015), AdamW (Loshchilov, Hutter
 * 2019: decay apart from the gradient), Adagrad (Duchi 2011). */
#ifndef OPTIMIZER_OPTIMIZER_H
#define OPTIMIZER_OPTIMIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/vector.h"
#include "optimizer/device.h"

struct optimizer_options {
    const char
        *rule; /* "sgd", "nesterov", "adam", "adamw", "adagrad"; optimizer_rules() lists them */
    double momentum, decay; /* decay: weight decay, L2 in the gradient except for adamw */
    double beta1, beta2, epsilon;
    int threads;
};

struct optimizer;

/* State for the `slice` of a vector. Weight decay spares the `no_decay` ranges (sorted, of the
 * whole vector's indices; copied). An unknown rule is fatal. */
struct optimizer *optimizer_open(const struct optimizer_options *options, struct range slice,
                                 const struct range *no_decay, int no_decay_count);
void optimizer_close(struct optimizer *o);
const char *optimizer_rules(void); /* "sgd|nesterov|adam|adamw|adagrad" */

/* One update of the slice at this rate. w and g point at the slice's first float. */
void optimizer_step(struct optimizer *o, float *w, const float *g, double lr);

/* The same update with the gradient sum_i scale[i] x source[i], summed in the order of the list, in
 * one pass; the sum is left in g when g is not NULL. Bitwise equal to vector_sum() and then
 * optimizer_step(). */
void optimizer_step_sum(struct optimizer *o, float *w, float *g, const float *const *source,
                        const double *scale, int sources, double lr);

int64_t optimizer_state_bytes(const struct optimizer *o);

/* w = sum_i scale[i] x source[i], as vector_sum() has it; w may be one of the sources. */
void optimizer_sum(struct optimizer *o, float *w, const float *const *source, const double *scale,
                   int sources);

/* A source at a time: optimizer_accumulate() adds it to what is kept, optimizer_step_accumulated()
 * steps with scale x all of that and begins anew. */
void optimizer_accumulate(struct optimizer *o, const float *source);
void optimizer_step_accumulated(struct optimizer *o, float *w, double scale, double lr);

/* From now on, before the first step, the slice's weights and all that o remembers are held by
 * `kind` (optimizer/device.h; NULL: here, as ever). Nobody but o changes w then; the calls above
 * change it as they would here, bit for bit, and leave no sum in g. `sources`, `number`: as in
 * struct device_optimizer_options. */
void optimizer_offload(struct optimizer *o, const struct device_optimizer_kind *kind, float *w,
                       int sources, int number);
bool optimizer_is_offloaded(const struct optimizer *o);

/* Of one that is away; else they do nothing. Sources may lie in this block, which stays where it is
 * until o is closed. A source may be brought before the call that uses it, and is not changed until
 * that or optimizer_discard() has returned. */
void optimizer_register_memory(struct optimizer *o, const void *block, size_t bytes);
void optimizer_prefetch(struct optimizer *o, const float *source);
void optimizer_discard(struct optimizer *o, const float *source);

struct schedule {
    const char *shape; /* "constant", "step", "exponential", "cosine", "one-cycle" */
    double lr;         /* the greatest */
    double warmup;     /* part of the run (0 .. 1) in which the rate rises linearly from rate/25 */
    double steps[8];   /* step: parts of the run at which the rate is multiplied by gamma */
    int step_count;
    double gamma; /* step: factor; exponential: rate at the end / rate at the start */
};

/* The rate when the part `done` (0 .. 1) of the run lies behind. Cosine and exponential fall over
 * what the warm-up leaves of the run; cosine ends at 0; one-cycle rises in a line from rate/25 for
 * 0.3 of the run and falls to rate/1e4 (Smith 2018), it needs no warm-up. An unknown shape or a
 * number out of its range is fatal. */
double schedule_at(const struct schedule *s, double done);
const char *schedule_shapes(void);

#endif
