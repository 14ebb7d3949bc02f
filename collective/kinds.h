/* The methods of summing: a file beside this header and a word in this list.
 *
 * The vector is cut into a slice for each worker, at cache lines; slices may be empty. A message
 * names its sum, so that a worker that has lost count is found. */
#ifndef COLLECTIVE_KINDS_H
#define COLLECTIVE_KINDS_H

#include "collective/collective.h"

#define METHODS(X) X(direct) X(ring) X(vendor)

struct method {
    const char *name;
    /* Can these workers use it? Else why not, in words that follow a colon. All workers ask
     * together and get one answer. NULL: always. */
    bool (*fits)(struct collective *c, char *why, size_t size);
    void (*open)(struct collective *c);
    void (*close)(struct collective *c);
    void (*sum)(struct collective *c, float *vector, double scale);
    void (*version)(char *text, size_t size); /* of the library; NULL: it needs none */
};

#define DECLARE_METHOD(name) extern const struct method method_##name;
METHODS(DECLARE_METHOD)
#undef DECLARE_METHOD

extern const struct method method_nccl; /* collective/nccl/, where that is built in */

struct collective {
    struct node *n;
    int64_t count;
    int workers, worker; /* how many, and which one this is */
    int64_t round;       /* sums before this one */
    const struct method *method;
    void *own; /* the method's */
};

int collective_rank(const struct collective *c, int worker);
struct range collective_slice(const struct collective *c, int worker);

/* Sends floats `at` of the vector; NULL when there are none, and only a head went. */
struct request *collective_send(struct collective *c, int worker, int tag, const float *vector,
                                struct range at);

/* Waits for the receive of `floats` floats from that worker, and returns them. */
const float *collective_take(struct collective *c, struct request *come, int worker,
                             int64_t floats);

/* Waits for the send and drops it; NULL is fine. */
void collective_done(struct collective *c, struct request **sent, int worker);

/* All workers meet: a star over the first one, two heads each. */
void collective_meet(struct collective *c);

/* to = sum_i scale[i] x source[i], counted as this rank's transfer. */
void collective_add(struct collective *c, float *to, const float *const *source,
                    const double *scale, int sources, int64_t count);
void collective_copy(struct collective *c, float *to, const float *from, int64_t count);

#endif
