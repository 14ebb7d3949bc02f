/* A backend whose memory is the host's: what all of them have alike.
 *
 * Activations lie in ordinary memory, uploads are copies, calls are done when they return. */
#ifndef BACKEND_HOST_H
#define BACKEND_HOST_H

#include "backend/backend.h"

/* Members of struct backend, as backend/backend.h says of each. */
void host_loss(struct device *d, const float *logits, const int32_t *labels, int batch, int classes,
               float smoothing, float *dlogits, struct loss *sums);
void *host_alloc(struct device *d, size_t bytes);
void host_free(struct device *d, void *block);
void host_upload(struct device *d, void *to, const void *from, size_t bytes);
void host_finish(struct device *d);

/* For a table's initialiser. */
#define HOST_MEMORY                                                                                \
    .loss = host_loss, .alloc = host_alloc, .free = host_free, .upload = host_upload,              \
    .finish = host_finish

#endif
