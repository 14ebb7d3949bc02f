/* The methods of summing: a file beside this header, and a line in this list.
 *
 * The vector is cut into a slice for each worker, at cache lines; slices may be empty. A message
 * names its sum, so that a worker that has lost count is found. What goes through a codec is packed
 * slice by slice (or piece by piece), each by a coder of its own. */
#ifndef COLLECTIVE_KINDS_H
#define COLLECTIVE_KINDS_H

#include "collective/collective.h"

#define METHODS(X)                                                                                 \
    X(direct)                                                                                      \
    X(ring)                                                                                        \
    X(vendor)

struct method {
    const char *name;
    /* Can these workers use it? Else why not, in words that follow a colon. All workers ask
     * together and get one answer. NULL: always. */
    bool (*fits)(struct collective *c, char *why, size_t size);
    void (*open)(struct collective *c);
    void (*close)(struct collective *c);
    void (*sum)(struct collective *c, float *vector, double scale);
    /* The same for all workers at once, in virtual time: sum = scale x sum over vector[workers], in
     * the method's order of addition; `sum` may be vector[0]. NULL: the method is not modelled. */
    void (*add_all)(const struct collective *c, float *sum, const float *const *vector,
                    double scale);
    /* Workers call at at_s[workers]; sets it to when they go on, and counts what they send, receive
     * and compute. */
    void (*model)(struct collective *const *all, double *at_s);
    void (*version)(char *text, size_t size); /* of the library; NULL: it needs none */
    bool packs;                               /* can move what a codec has packed */
    const char *summary, *paper;              /* NULL: none */
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
    const struct codec *codec;     /* of what is added; in_place: floats travel as they are */
    const struct codec *sum_codec; /* of sums: the same where weights survive it, else f32 */
    void *own;                     /* the method's; NULL where sums are modelled */
    bool modelled;
    float *vector; /* modelled: of the sum under way */
    double scale;
    double float_s; /* modelled: this worker's vector work, for a float read or written */
    double begun_s; /* modelled: net_now() when the last worker had called */
};

int collective_rank(const struct collective *c, int worker);
struct range collective_slice(const struct collective *c, int worker);

/* Sends `bytes` that stand for `floats` floats; NULL when there are none, and only a head went. */
struct request *collective_send(struct collective *c, int worker, int tag, const void *data,
                                size_t bytes, int64_t floats);

/* Waits for the receive of `bytes` from that worker, and returns them. */
const void *collective_take(struct collective *c, struct request *come, int worker, size_t bytes);

/* Waits for the send and drops it; NULL is fine. */
void collective_done(struct collective *c, struct request **sent, int worker);

/* modelled.c: sums of this method among so many workers are charged as a whole */
bool collective_is_modelled(const struct collective *c);
void collective_sum_modelled(struct collective *c, float *vector, double scale);
/* Counts a modelled sum of this worker: payload sent and received, messages each way. */
void collective_count(struct collective *c, int64_t sent_floats, int64_t received_floats,
                      int64_t messages);
size_t *collective_slice_bytes(const struct collective *c, int copies); /* to be released */

/* All workers meet: a star over the first one, two heads each. */
void collective_meet(struct collective *c);

/* to = sum_i scale[i] x source[i], counted as this rank's transfer. */
void collective_add(struct collective *c, float *to, const float *const *source,
                    const double *scale, int sources, int64_t count);

/* A coder of this worker for `count` floats; `stream`: which of its vectors. NULL: there are none,
 * or they travel as they are. */
struct coder *collective_coder(const struct collective *c, const struct codec *codec, int64_t count,
                               int stream, bool only_unpacks);

/* Bytes of the message for `count` floats by this coder (NULL: as they are). */
size_t collective_bytes(const struct coder *coder, int64_t count);

/* Bytes that such a message takes in a block of several: whole cache lines. */
size_t collective_room(const struct coder *coder, int64_t count);

void collective_pack(struct collective *c, struct coder *coder, void *to, const float *from);

/* to[count] = the message `from` of that worker, by this coder (NULL: a copy). */
void collective_unpack(struct collective *c, const struct coder *coder, float *to, const void *from,
                       int64_t count, int worker);

#endif
