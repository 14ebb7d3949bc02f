/* The workers of local SGD, for schemes that differ in what the server makes of their moves. */
#ifndef SCHEME_LOCALSGD_H
#define SCHEME_LOCALSGD_H

#include "scheme/scheme.h"

/* Until training is over: `local_steps` mini-batches of the worker's own optimizer from the
 * server's weights, then a push of how far they led. One step each in the first part `post_local`
 * of the run. */
void localsgd_work(struct node *n, int64_t local_steps, double post_local);

#endif
