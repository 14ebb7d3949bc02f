/* Slices go round the ring of workers twice: added on the way, then copied.
 *
 * Rule: in step s = 0 .. W - 2 worker i sends slice i - s to worker i + 1 and adds what comes from
 * worker i - 1 to its own; then slice i + 1 is whole at worker i and goes round once more. Slices
 * move in pieces, so that a piece is on its way to the next worker while the next one comes.
 * Cost: 2 (W - 1) steps, 2 (W - 1)/W n floats out and as many in, over one link each way, which no
 * algorithm undercuts; 2 (W - 1) latencies. Slice k is added from worker k on, round the ring.
 * Patarasuk, Yuan 2009.
 *
 * With a codec each partial sum is packed for the next worker, which unpacks and adds; each piece
 * has a coder of its own, so what a worker leaves out of a partial sum it adds to the next one of
 * that piece. Sums that travel packed go on as they came, and their first sender takes them from
 * the message as all others do. Memory: the packed vector, twice where sums travel packed. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "collective/kinds.h"

enum { PIECE = 1 << 18, AHEAD = 8 }; /* floats of a piece; receives posted before they are due */

struct ring {
    int64_t pieces;        /* of the longest slice; shorter ones end with empty pieces */
    int64_t turns;         /* 2 (W - 1) steps of so many pieces */
    struct request **sent; /* [turns] */
    struct request *come[AHEAD];
    /* with a codec, else NULL: */
    struct coder **out, **in; /* [turns]: of what leaves and comes then; NULL: floats travel */
    char *packed, **message;  /* [turns]: what leaves then, in one block */
    float *unpacked;          /* [PIECE] */
};

static int neighbour(const struct collective *c, int by)
{
    return (c->worker + by + c->workers) % c->workers;
}

/* The floats that this worker sends in that turn: those it got in the turn a step before. */
static struct range piece_out(const struct collective *c, int64_t turn)
{
    const struct ring *r = c->own;
    int64_t step = turn / r->pieces, piece = turn % r->pieces;
    struct range at = collective_slice(c, (int)((c->worker - step + 2 * c->workers) % c->workers));
    at.from += piece * PIECE;
    at.from = at.from < at.to ? at.from : at.to;
    at.to = at.to - at.from < PIECE ? at.to : at.from + PIECE;
    return at;
}

static struct range piece_in(const struct collective *c, int64_t turn)
{
    return piece_out(c, turn + ((struct ring *)c->own)->pieces);
}

static bool adds(const struct collective *c, int64_t turn)
{
    return turn < ((struct ring *)c->own)->turns / 2;
}

/* Is what is sent in that turn made here, not handed on? */
static bool is_made(const struct collective *c, int64_t turn)
{
    const struct ring *r = c->own;
    return turn < r->turns / 2 + r->pieces;
}

static void open_coders(struct collective *c)
{
    struct ring *r = c->own;
    size_t turns = (size_t)r->turns, room = 0;
    r->out = xcalloc(turns, sizeof(struct coder *));
    r->in = xcalloc(turns, sizeof(struct coder *));
    r->message = xcalloc(turns, sizeof *r->message);
    r->unpacked = node_vector(c->n, PIECE);
    for (int64_t turn = 0; turn < r->turns; turn++) {
        struct range out = piece_out(c, turn), in = piece_in(c, turn);
        const struct codec *codec = adds(c, turn) ? c->codec : c->sum_codec;
        r->out[turn] = collective_coder(c, codec, out.to - out.from, (int)turn, !is_made(c, turn));
        r->in[turn] = collective_coder(c, codec, in.to - in.from, 0, true);
        room += collective_room(r->out[turn], out.to - out.from);
    }
    char *end = r->packed = net_alloc(c->n->net, room);
    for (int64_t turn = 0; turn < r->turns; turn++) {
        struct range out = piece_out(c, turn);
        r->message[turn] = end;
        end += collective_room(r->out[turn], out.to - out.from);
    }
}

static void open(struct collective *c)
{
    struct ring *r = c->own = xcalloc(1, sizeof *r);
    int64_t longest = 1;
    for (int i = 0; i < c->workers; i++) {
        struct range at = collective_slice(c, i);
        longest = at.to - at.from > longest ? at.to - at.from : longest;
    }
    r->pieces = (longest + PIECE - 1) / PIECE;
    r->turns = 2 * (c->workers - 1) * r->pieces;
    r->sent = xcalloc((size_t)r->turns, sizeof *r->sent);
    if (!c->codec->in_place && c->workers > 1)
        open_coders(c);
}

static void close(struct collective *c)
{
    struct ring *r = c->own;
    for (int64_t turn = 0; turn < r->turns && r->out; turn++) {
        coder_close(r->out[turn]);
        coder_close(r->in[turn]);
    }
    net_free(c->n->net, r->packed);
    xfree(r->out);
    xfree(r->in);
    xfree(r->message);
    node_vector_free(c->n, r->unpacked);
    xfree(r->sent);
}

static void send(struct collective *c, float *vector, int64_t turn)
{
    struct ring *r = c->own;
    if (turn >= r->turns)
        return;
    struct range at = piece_out(c, turn);
    int64_t count = at.to - at.from;
    struct coder *coder = r->out ? r->out[turn] : NULL;
    const void *message = coder ? (const void *)r->message[turn] : vector + at.from;
    if (coder && is_made(c, turn)) {
        collective_pack(c, coder, r->message[turn], vector + at.from);
        if (!adds(c, turn))
            collective_unpack(c, coder, vector + at.from, message, count, c->worker);
    }
    r->sent[turn] = collective_send(c, neighbour(c, 1), adds(c, turn) ? TAG_REDUCE : TAG_GATHER,
                                    message, collective_bytes(coder, count), count);
}

static void expect(struct collective *c, int64_t turn)
{
    struct ring *r = c->own;
    if (turn < r->turns)
        r->come[turn % AHEAD] = net_recv(c->n->net, collective_rank(c, neighbour(c, -1)),
                                         adds(c, turn) ? TAG_REDUCE : TAG_GATHER, NULL, 0);
}

/* Adds the partial sum that came; the last one makes the sum, and scales it. */
static void add(struct collective *c, float *vector, int64_t turn, const void *message,
                double scale)
{
    struct ring *r = c->own;
    struct range at = piece_in(c, turn);
    const struct coder *coder = r->in ? r->in[turn] : NULL;
    double factor = turn + r->pieces >= r->turns / 2 ? scale : 1;
    if (coder)
        collective_unpack(c, coder, r->unpacked, message, at.to - at.from, neighbour(c, -1));
    const float *const both[] = {coder ? r->unpacked : message, vector + at.from};
    collective_add(c, vector + at.from, both, (const double[]){factor, factor}, 2, at.to - at.from);
}

/* A packed sum goes on as it came. */
static void copy(struct collective *c, float *vector, int64_t turn, const void *message)
{
    struct ring *r = c->own;
    struct range at = piece_in(c, turn);
    const struct coder *coder = r->in ? r->in[turn] : NULL;
    collective_unpack(c, coder, vector + at.from, message, at.to - at.from, neighbour(c, -1));
    if (coder && turn + r->pieces < r->turns)
        memcpy(r->message[turn + r->pieces], message, coder_bytes(coder));
}

static void sum(struct collective *c, float *vector, double scale)
{
    struct ring *r = c->own;
    int before = neighbour(c, -1), after = neighbour(c, 1);
    for (int64_t turn = 0; turn < AHEAD; turn++)
        expect(c, turn);
    for (int64_t turn = 0; turn < r->pieces; turn++)
        send(c, vector, turn);
    for (int64_t turn = 0; turn < r->turns; turn++) {
        struct range at = piece_in(c, turn);
        const struct coder *coder = r->in ? r->in[turn] : NULL;
        const void *message = collective_take(c, r->come[turn % AHEAD], before,
                                              collective_bytes(coder, at.to - at.from));
        if (adds(c, turn)) {
            add(c, vector, turn, message, scale);
        } else {
            /* the same floats went out then */
            collective_done(c, &r->sent[turn - r->turns / 2], after);
            copy(c, vector, turn, message);
        }
        net_release(c->n->net, r->come[turn % AHEAD]);
        expect(c, turn + AHEAD);
        send(c, vector, turn + r->pieces);
    }
    for (int64_t turn = 0; turn < r->turns; turn++)
        collective_done(c, &r->sent[turn], after);
}

static int64_t slice_floats(const struct collective *c, int worker)
{
    struct range at = collective_slice(c, worker % c->workers);
    return at.to - at.from;
}

/* sum[at] from worker k on, round the ring. */
static void add_slice(const struct collective *c, float *sum, const float *const *vector,
                      double scale, int k, struct range at)
{
    float partial[VECTOR_CHUNK];
    int64_t count = at.to - at.from;
    memcpy(partial, vector[k] + at.from, (size_t)count * sizeof *partial);
    for (int i = 1; i < c->workers; i++) {
        double factor = i == c->workers - 1 ? scale : 1;
        const float *const both[] = {partial, vector[(k + i) % c->workers] + at.from};
        vector_sum(partial, both, (const double[]){factor, factor}, 2, count, 1);
    }
    memcpy(sum + at.from, partial, (size_t)count * sizeof *partial);
}

static void add_all(const struct collective *c, float *sum, const float *const *vector,
                    double scale)
{
    for (int k = 0; k < c->workers; k++) {
        struct range slice = collective_slice(c, k), at = slice;
        for (; at.from < slice.to; at.from = at.to) {
            at.to = at.from + VECTOR_CHUNK < slice.to ? at.from + VECTOR_CHUNK : slice.to;
            add_slice(c, sum, vector, scale, k, at);
        }
    }
}

/* Step by step, each slice as one piece: what a link is busy with is the same. At last each waits
 * until the next one has taken what it sent. */
static void model(struct collective *const *all, double *at_s)
{
    const struct collective *c = all[0];
    int workers = c->workers, steps = 2 * (workers - 1);
    size_t *slice = collective_slice_bytes(c, 2);
    double *free_s = xcalloc((size_t)workers, sizeof *free_s);
    bool computes = false; /* takes time for it */
    for (int i = 0; i < workers; i++) {
        computes |= all[i]->float_s > 0;
    }
    for (int step = 0; step < steps; step++) {
        /* of worker i: slice i - step goes out, the one before comes in */
        const size_t *out = slice + (workers - step % workers) % workers,
                     *in = slice + (2 * workers - step % workers - 1) % workers;
        net_model_shift(c->n->net, &(struct net_exchange){collective_rank(c, 0), out, NULL, NULL},
                        at_s, free_s);
        for (int i = 0; i < workers && computes; i++) {
            double vectors = step < steps / 2 ? 3 : 2;
            at_s[i] += (double)in[i] / sizeof(float) * all[i]->float_s * vectors;
        }
    }
    double first_s = at_s[0];
    for (int i = 0; i < workers; i++) {
        int64_t twice = 2 * c->count, one = slice_floats(c, i + 1);
        at_s[i] = fmax(at_s[i], i + 1 < workers ? at_s[i + 1] : first_s);
        collective_count(all[i], twice - one - slice_floats(c, i + 2),
                         twice - one - slice_floats(c, i), steps);
    }
    xfree(slice);
    xfree(free_s);
}

const struct method method_ring = {
    .name = "ring",
    .summary = "slices go round the ring of workers twice",
    .paper = "Patarasuk, Yuan 2009",
    .packs = true,
    .open = open,
    .close = close,
    .sum = sum,
    .add_all = add_all,
    .model = model,
};
