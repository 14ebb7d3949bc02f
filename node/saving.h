/* Weights on the disk: what --save may write. Part of the front door, node/node.h. */
#ifndef NODE_SAVING_H
#define NODE_SAVING_H

#include "base/options.h"

/* Fatal when a run must not write its weights to --save's file: no file can be made there, it is
 * something else than a plain file, or it holds what another run has learned, and neither --init
 * nor --overwrite speaks of it. `saved`: where the run that goes on has written its weights; NULL:
 * this run begins. */
void saving_check(const struct options *o, const char *saved);

#endif
