/* Does a method compute what it should? Asked once, before it is timed, on random numbers.
 *
 * oneDNN 2.6.3 has bf16 kernels that leave parts of their result unwritten or wrong
 * (backward-weights where a tap sees only padding, 1x1 backward-data with odd channels), which no
 * status tells. So a method is trusted only after some elements of its result, spread over all taps
 * and the last channels, were found equal to plain sums in double. */
#ifndef BACKEND_ONEDNN_VERIFICATION_H
#define BACKEND_ONEDNN_VERIFICATION_H

#include "backend/onednn/library.h"

struct proof;

/* Fills x, w and y with random numbers and works out some elements of what the direction makes of
 * them. */
struct proof *proof_open(enum direction d, const struct unit_shape *s, const struct layout *x,
                         const struct layout *y);
void proof_close(struct proof *p);

/* The operands for a method; what it is to write is full of NaN. */
void *const *proof_operands(struct proof *p);

/* After the method ran on them: are the elements right? */
bool proof_holds(const struct proof *p);

#endif
