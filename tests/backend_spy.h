/* A backend between a network and the real one, which sees what the network's contract hides. One
 * network at a time.
 *
 * It records every tensor that a unit, the loss or an upload wrote, and fails the test when a
 * unit is about to read one that was never written, or that something else has overwritten since:
 * so it judges the memory plan. For backends whose memory the host can read. */
#ifndef TESTS_BACKEND_SPY_H
#define TESTS_BACKEND_SPY_H

#include "backend/backend.h"

/* The spied backend; what was seen before is forgotten. `records`: record tensors (costs a hash of
 * each tensor at each reading). */
const struct backend *spy_on(const struct backend *real, bool records);

const float *spy_logits(void); /* of the last loss: what the last unit wrote, as it lies */

/* Fills all memory for activations with NaN, as between two calls of a network nothing in it may be
 * needed. */
void spy_poison(void);

int64_t spy_reads(void);    /* tensors that were checked */
int64_t spy_kept(void);     /* bytes of all units' outputs and saved tensors */
int64_t spy_greatest(void); /* bytes of the greatest output */

#endif
