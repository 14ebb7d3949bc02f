/* The masks of dropout: the same on every backend, since they follow from a key alone.
 *
 * Element e of sample b ([h][w][c], counted from 0) is dropped when number e of the generator keyed
 * by (key, unit, sample) is below the probability; where channels are dropped as a whole, channel c
 * goes by number c. Kept elements are scaled by 1 / (1 - p), so that inference need not scale
 * (Srivastava et al. 2014, JMLR 15, section 10; "inverted", as PyTorch has it; channels: Tompson et
 * al. 2015, PyTorch's Dropout2d). Backward draws the mask anew: nothing is saved. A dropped NaN
 * stays a NaN. */
#ifndef BACKEND_DROPOUT_H
#define BACKEND_DROPOUT_H

#include "base/random.h"
#include "backend/backend.h"

/* The generator of one sample's mask. */
static inline struct random dropout_mask(const struct unit_shape *s, uint64_t key, int sample)
{
    return random_at(RANDOM_DROPOUT, key, (uint64_t)s->number, (uint64_t)sample, 0);
}

/* What element e of that sample is multiplied by: 0 or `scale`. */
static inline float dropout_factor(const struct unit_shape *s, const struct random *mask,
                                   uint64_t e, float scale)
{
    struct random at = {mask->key, s->by_channel ? e % (uint64_t)s->in_c : e};
    return random_uniform(&at) < (double)s->drop ? 0 : scale;
}

static inline float dropout_scale(float drop)
{
    return 1 / (1 - drop);
}

#endif
