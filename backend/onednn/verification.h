/* Does an algorithm compute what it should? Asked once, before it is timed, on random numbers.
 *
 * oneDNN 2.6.3 has bf16 kernels that leave parts of their result unwritten or wrong
 * (backward-weights where a tap sees only padding, 1x1 backward-data with odd channels), which no
 * status tells. So an algorithm is trusted only after some elements of its result, spread over all
 * taps and the last channels, were found equal to plain sums in double. */
#ifndef BACKEND_ONEDNN_VERIFICATION_H
#define BACKEND_ONEDNN_VERIFICATION_H

#include "backend/onednn/library.h"

struct verification;

/* Fills x, w and y with random numbers and works out some elements of what the direction makes of
 * them. */
struct verification *verification_open(enum direction d, const struct unit_shape *s,
                                       const struct layout *x, const struct layout *y);
void verification_close(struct verification *p);

/* The operands for an algorithm; what it is to write is full of NaN. */
void *const *verification_operands(struct verification *p);

/* After it ran on them: are the elements right? */
bool verification_holds(const struct verification *p);

#endif
