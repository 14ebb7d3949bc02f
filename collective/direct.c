/* Every worker sums one slice and all copy it.
 *
 * Rule: worker i reads slice i of everybody's vector, adds in worker order, and hands the sum to
 * all, which copy it. Within a host slices are read where they lie. Cost: two heads to and from
 * each other worker, two latencies; between hosts 2 (W - 1)/W n floats in and as many out; in
 * memory n floats read and n/W written, then (W - 1)/W n copied. Reduce-scatter and all-gather with
 * all peers at once: a parameter server in slices (Li et al. 2014) whose servers are the workers.
 *
 * With a codec each worker packs its vector once, its own slice too, and worker i adds what it
 * unpacks of slice i. Where sums travel packed, their owner takes them from the message as all
 * others do. Memory: the packed vector, and n floats. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "collective/kinds.h"

struct direct {
    struct request **part, **part_sent, **sum_sent; /* [workers] */
    struct request **sum;                           /* [1 + workers], the first one the node's */
    const float **source;
    double *scale;
    /* with a codec, else NULL: */
    struct coder **out;              /* [workers]: of each slice of this vector */
    struct coder *in;                /* of this worker's slice of all vectors */
    struct coder *sum_out, **sum_in; /* of its sum; [workers] of all sums. NULL: floats travel */
    char *packed, **packed_slice;    /* [workers + 1]: each slice, and its sum, in one block */
    float *unpacked;                 /* [workers][own slice] */
};

static int64_t slice_count(const struct collective *c, int worker)
{
    struct range at = collective_slice(c, worker);
    return at.to - at.from;
}

static void open_coders(struct collective *c)
{
    struct direct *d = c->own;
    int64_t own = slice_count(c, c->worker);
    size_t workers = (size_t)c->workers, room = 0;
    d->out = xcalloc(workers, sizeof(struct coder *));
    d->sum_in = xcalloc(workers, sizeof(struct coder *));
    d->packed_slice = xcalloc(workers + 1, sizeof *d->packed_slice);
    d->unpacked = node_vector(c->n, c->workers * own + 1);
    d->in = collective_coder(c, c->codec, own, 0, true);
    d->sum_out = collective_coder(c, c->sum_codec, own, c->workers, false);
    for (int i = 0; i < c->workers; i++) {
        int64_t count = slice_count(c, i);
        d->out[i] = collective_coder(c, c->codec, count, i, false);
        d->sum_in[i] = collective_coder(c, c->sum_codec, count, 0, true);
        room += collective_room(d->out[i], count);
    }
    d->packed = net_alloc(c->n->net, room + collective_room(d->sum_out, own));
    d->packed_slice[0] = d->packed;
    for (int i = 0; i < c->workers; i++)
        d->packed_slice[i + 1] = d->packed_slice[i] + collective_room(d->out[i], slice_count(c, i));
}

static void open(struct collective *c)
{
    struct direct *d = c->own = xcalloc(1, sizeof *d);
    size_t workers = (size_t)c->workers;
    d->part = xcalloc(workers, sizeof *d->part);
    d->part_sent = xcalloc(workers, sizeof *d->part_sent);
    d->sum = xcalloc(1 + workers, sizeof *d->sum);
    d->sum_sent = xcalloc(workers, sizeof *d->sum_sent);
    d->source = xcalloc(workers, sizeof *d->source);
    d->scale = xcalloc(workers, sizeof *d->scale);
    if (!c->codec->in_place && c->workers > 1)
        open_coders(c);
}

static void close(struct collective *c)
{
    struct direct *d = c->own;
    for (int i = 0; i < c->workers && d->out; i++) {
        coder_close(d->out[i]);
        coder_close(d->sum_in[i]);
    }
    coder_close(d->in);
    coder_close(d->sum_out);
    net_free(c->n->net, d->packed);
    node_vector_free(c->n, d->unpacked);
    void *blocks[] = {d->part,  d->part_sent, d->sum,    d->sum_sent,    d->source,
                      d->scale, d->out,       d->sum_in, d->packed_slice};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        xfree(blocks[i]);
}

/* The message of floats `from`, [count]: packed into `to`, or the floats themselves. */
static const void *message_of(struct collective *c, struct coder *coder, void *to,
                              const float *from)
{
    if (!coder)
        return from;
    collective_pack(c, coder, to, from);
    return to;
}

/* Sends each worker its slice of this vector. Each begins with another one, so that not all ask the
 * same. */
static void send_slices(struct collective *c, const float *vector)
{
    struct direct *d = c->own;
    for (int k = 1; k < c->workers; k++) {
        int i = (c->worker + k) % c->workers, rank = collective_rank(c, i);
        int64_t count = slice_count(c, i);
        struct coder *coder = d->out ? d->out[i] : NULL;
        const void *message = message_of(c, coder, d->out ? d->packed_slice[i] : NULL,
                                         vector + collective_slice(c, i).from);
        d->part[i] = net_recv(c->n->net, rank, TAG_REDUCE, NULL, 0);
        d->sum[1 + i] = net_recv(c->n->net, rank, TAG_GATHER, NULL, 0);
        d->part_sent[i] =
            collective_send(c, i, TAG_REDUCE, message, collective_bytes(coder, count), count);
    }
}

/* Worker i's part of this worker's slice, as floats. */
static const float *part_of(struct collective *c, int i, const float *vector, int64_t count)
{
    struct direct *d = c->own;
    const float *own = vector + collective_slice(c, c->worker).from;
    const void *message;
    if (i == c->worker)
        message = message_of(c, d->out ? d->out[i] : NULL, d->out ? d->packed_slice[i] : NULL, own);
    else
        message = collective_take(c, d->part[i], i, collective_bytes(d->in, count));
    if (!d->in)
        return message;
    float *floats = d->unpacked + i * count;
    collective_unpack(c, d->in, floats, message, count, i);
    return floats;
}

static void sum_own_slice(struct collective *c, float *vector, double scale)
{
    struct direct *d = c->own;
    struct range at = collective_slice(c, c->worker);
    int64_t count = at.to - at.from;
    for (int i = 0; i < c->workers; i++) {
        d->source[i] = part_of(c, i, vector, count);
        d->scale[i] = scale;
    }
    collective_add(c, vector + at.from, d->source, d->scale, c->workers, count);
    const void *message =
        message_of(c, d->sum_out, d->out ? d->packed_slice[c->workers] : NULL, vector + at.from);
    if (d->sum_out)
        collective_unpack(c, d->sum_out, vector + at.from, message, count, c->worker);
    for (int k = 1; k < c->workers; k++) {
        int i = (c->worker + k) % c->workers;
        net_release(c->n->net, d->part[i]);
        d->sum_sent[i] =
            collective_send(c, i, TAG_GATHER, message, collective_bytes(d->sum_out, count), count);
    }
}

/* As they come. A worker has given back what it read of this vector before it sent its sum. */
static void copy_other_slices(struct collective *c, float *vector)
{
    struct direct *d = c->own;
    for (int left = c->workers - 1; left > 0; left--) {
        int i =
            node_wait(c->n, d->sum, 1 + c->workers, INFINITY, "a worker's part of a sum", NET_ANY) -
            1;
        struct range at = collective_slice(c, i);
        const struct coder *coder = d->sum_in ? d->sum_in[i] : NULL;
        const void *sum =
            collective_take(c, d->sum[1 + i], i, collective_bytes(coder, at.to - at.from));
        collective_done(c, &d->part_sent[i], i);
        collective_unpack(c, coder, vector + at.from, sum, at.to - at.from, i);
        net_release(c->n->net, d->sum[1 + i]);
        d->sum[1 + i] = NULL;
    }
}

static void sum(struct collective *c, float *vector, double scale)
{
    struct direct *d = c->own;
    send_slices(c, vector);
    sum_own_slice(c, vector, scale);
    copy_other_slices(c, vector);
    for (int i = 0; i < c->workers; i++)
        collective_done(c, &d->sum_sent[i], i);
}

static void add_all(const struct collective *c, float *sum, const float *const *vector,
                    double scale)
{
    double *scales = xcalloc((size_t)c->workers, sizeof *scales);
    for (int i = 0; i < c->workers; i++)
        scales[i] = scale;
    vector_sum(sum, vector, scales, c->workers, c->count, c->n->context->threads);
    xfree(scales);
}

/* All slices go to their owners, which add; all sums go to everybody, who copies. Taken as if
 * nobody went on before the last one has copied. Where one rank's port is far slower than the
 * others', owners of shorter slices do, and fill that port again: 48 workers, one of them with a
 * hundredth of the bandwidth, take a third longer message by message. */
static void model(struct collective *const *all, double *at_s)
{
    const struct collective *c = all[0];
    int first = collective_rank(c, 0), workers = c->workers;
    size_t *slice = collective_slice_bytes(c, 1), *none = xcalloc((size_t)workers, sizeof *none);
    double *begin_s = xcalloc((size_t)workers, sizeof *begin_s), *sum_s = NULL, end_s = 0;
    memcpy(begin_s, at_s, (size_t)workers * sizeof *at_s);
    /* twice: whoever is late has its sum at once, and sends that beside its slices */
    for (int pass = 0; pass < 2; pass++) {
        double *from_s = pass ? begin_s : at_s;
        net_model_exchange(c->n->net, &(struct net_exchange){first, none, slice, sum_s}, from_s);
        for (int i = 0; i < workers; i++)
            from_s[i] += node_together_s(all[i]->n, slice_count(c, i), workers + 1);
        sum_s = at_s;
    }
    memcpy(at_s, begin_s, (size_t)workers * sizeof *at_s);
    net_model_exchange(c->n->net, &(struct net_exchange){first, slice, none, NULL}, at_s);
    for (int i = 0; i < workers; i++) {
        int64_t own = slice_count(c, i), others = c->count - own;
        double copies_s = node_together_s(all[i]->n, others, 2);
        end_s = fmax(end_s, at_s[i] + copies_s);
        collective_count(all[i], others + own * (workers - 1), others + own * (workers - 1),
                         2 * (workers - 1));
    }
    for (int i = 0; i < workers; i++)
        at_s[i] = end_s;
    xfree(slice);
    xfree(none);
    xfree(begin_s);
}

const struct method method_direct = {
    .name = "direct",
    .summary = "every worker sums one slice, all copy it",
    .paper = "Li et al. 2014",
    .packs = true,
    .open = open,
    .close = close,
    .sum = sum,
    .add_all = add_all,
    .model = model,
};
