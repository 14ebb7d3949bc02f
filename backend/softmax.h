/* Softmax cross-entropy over plain float32 logits in host memory: the `loss` of every backend that
 * computes on the CPU. */
#ifndef BACKEND_SOFTMAX_H
#define BACKEND_SOFTMAX_H

#include <stdint.h>

#include "backend/backend.h"

/* logits [batch][classes], labels 0 .. classes-1. *sums is overwritten; dlogits (NULL: not wanted)
 * gets the gradient of the mean. A sample with a NaN among its logits makes the sum NaN and counts
 * as no hit. */
void softmax_loss(const float *logits, const int32_t *labels, int batch, int classes,
                  float smoothing, float *dlogits, struct loss *sums);

#endif
