/* What a gradient does to the weights, and how fast: update rules and learning-rate schedules.
 *
 * A rule works on a range of the flat vector (a server has a slice, a bucket may come early), in
 * one pass over memory, on the threads that are given. Each float is computed alone: the same bits
 * on any number of threads and any cut. The rules' formulas and papers are in their tables, a file
 * each beside this header; the schedules' in schedule/. */
#ifndef OPTIMIZER_OPTIMIZER_H
#define OPTIMIZER_OPTIMIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/state.h"
#include "base/vector.h"
#include "optimizer/device.h"

struct option_set;
struct options;
struct journal; /* base/journal.h */
struct squares; /* base/squares.h */

/* Momentum, betas and epsilon are options of the rules that have them, in their files. */
struct optimizer_options {
    const char *rule;       /* one of optimizer_rules() */
    double momentum, decay; /* decay: weight decay, L2 in the gradient unless decoupled */
    double beta1, beta2, epsilon;
    double trust;       /* lars */
    int64_t accum_iter; /* accumadam, accumadamw: steps of a window */
    double clip;        /* greatest norm of a step's gradient; 0: any */
    int threads;
    const struct range *layers; /* [layer_count] of the whole vector, in order; NULL: it is one */
    int layer_count;
    struct allocator allocator; /* of its state, and of what a step needs */
    struct journal *journal; /* has norms; while it forwards, calls count a step and compute none */
};

/* The rule with its own options as they were given, weight decay and clipping; 1 thread. Numbers
 * that the rule does not have are 0. */
struct optimizer_options optimizer_options_of(const struct options *o, const char *rule);

/* The sets of all rules, at most `room`; returns how many. Rules may share one. */
int optimizer_option_sets(const struct option_set **list, int room);
const struct option_set *optimizer_option_set(const char *rule); /* NULL: it has none */

struct optimizer;

/* State for the `slice` of a vector. Weights in the `no_decay` ranges (sorted, of the whole
 * vector's indices; copied) do not decay. Fatal on an unknown rule or a number out of its range. */
struct optimizer *optimizer_open(const struct optimizer_options *options, struct range slice,
                                 const struct range *no_decay, int no_decay_count);
void optimizer_close(struct optimizer *o);
/* Does the rule divide a gradient by its size? Then a step is made smaller by its rate, not by its
 * gradient. */
bool optimizer_rescales(const char *rule);
const char *optimizer_rules(void); /* "sgd|nesterov|adam|.." */

/* Does it take norms of layers? Then it works on whole vectors alone, and on no device; layers
 * that do not decay have no rate of their own. */
bool optimizer_is_layerwise(const char *rule);
bool optimizer_fits_device(const char *rule); /* optimizer_offload() */

/* With a greatest norm C a step's gradient g is scaled to g min(1, C / |g|), before weight decay.
 * That is one more pass: the gradient is written and read again. Where the slice is not the whole
 * vector, norm(self, slice) is asked for the norm of the whole; `slice` has the squares of the
 * slice. */
void optimizer_on_norm(struct optimizer *o, double (*norm)(void *self, const struct squares *slice),
                       void *self);
bool optimizer_clips(const struct optimizer *o);

/* One update of the slice at this rate. w and g point at the slice's first float. */
void optimizer_step(struct optimizer *o, float *w, const float *g, double lr);

/* The same update with the gradient sum_i scale[i] x source[i], summed in the order of the list, in
 * one pass; the sum is left in g when g is not NULL. Bitwise equal to vector_sum() and then
 * optimizer_step(). */
void optimizer_step_sum(struct optimizer *o, float *w, float *g, const float *const *source,
                        const double *scale, int sources, double lr);

/* What it remembers: the rule's vectors "m", "v", "a" as far as there are any, "accumulated" where
 * optimizer_accumulator() was called, "steps". Not of an offloaded one. */
void optimizer_state(struct optimizer *o, state_visitor *visit, void *self);
void optimizer_forget(struct optimizer *o); /* all that: as when it was opened. The same */
int64_t optimizer_state_bytes(const struct optimizer *o);
int64_t optimizer_count(const struct optimizer *o); /* floats of the slice */

/* What a step costs: floats a weight that it reads and writes, with a sum of so many gradients. One
 * that is clipped is written before its norm is known, and read again. */
int optimizer_passes(const struct optimizer *o, int sources);

/* w = sum_i scale[i] x source[i], as vector_sum() has it; w may be one of the sources. */
void optimizer_sum(struct optimizer *o, float *w, const float *const *source, const double *scale,
                   int sources);

/* A source at a time: optimizer_accumulate() adds it to an accumulator, zero at first;
 * optimizer_step_accumulated() steps with scale x the accumulator, which is zero then. */
void optimizer_accumulator(struct optimizer *o); /* makes it now, not when it is needed */
void optimizer_accumulate(struct optimizer *o, const float *source);
void optimizer_step_accumulated(struct optimizer *o, float *w, double scale, double lr);

/* From now on, before the first step, a device optimizer of this kind (optimizer/device.h; NULL:
 * none) holds the slice's weights and the rule's state. Nobody but o changes w then; the calls
 * above change it as they would here, bit for bit, and leave no sum in g. `sources`, `number`: as
 * in struct device_optimizer_options. */
void optimizer_offload(struct optimizer *o, const struct device_optimizer_kind *kind, float *w,
                       int sources, int number);
bool optimizer_is_offloaded(const struct optimizer *o);

/* Of an offloaded one; else they do nothing. Sources may lie in a registered block, which stays
 * where it is until o is closed. A source may be prefetched before the call that uses it, and does
 * not change until that or optimizer_discard() has returned. */
void optimizer_register_memory(struct optimizer *o, const void *block, size_t bytes);
void optimizer_prefetch(struct optimizer *o, const float *source);
void optimizer_discard(struct optimizer *o, const float *source);

struct schedule {
    const char *shape; /* one of schedule_shapes() */
    double lr;         /* the greatest */
    double warmup;     /* part of the run (0 .. 1) in which the rate rises linearly from lr/25 */
    double steps[8];   /* step: milestones, parts of the run at which lr is multiplied by gamma */
    int step_count;
    double gamma; /* step: factor; exponential: rate at the end / rate at the start */
};

/* --schedule with --lr, --warmup and its own options. */
struct schedule schedule_of(const struct options *o);
int schedule_option_sets(const struct option_set **list, int room);
const struct option_set *schedule_option_set(const char *shape); /* NULL: it has none */

/* Milestones from text like "0.5,0.75"; "": none. Fatal on anything else, or on more than fit. */
void schedule_set_milestones(struct schedule *s, const char *text);

/* The rate when the part `done` (0 .. 1) of the run is over. Cosine and exponential fall over what
 * the warm-up leaves of the run; one-cycle needs no warm-up. Fatal on an unknown shape or a number
 * out of its range. */
double schedule_at(const struct schedule *s, double done);
/* text = "constant|step|exponential|cosine|one-cycle", cut at `size`. */
const char *schedule_shapes(char *text, size_t size);

#endif
