/* Slices go round the ring of workers twice: added on the way, then copied.
 *
 * Rule: in step s = 0 .. W - 2 worker i sends slice i - s to worker i + 1 and adds what comes from
 * worker i - 1 to its own; then slice i + 1 is whole at worker i and goes round once more. Slices
 * move in pieces, so that a piece is on its way to the next worker while the one behind it comes.
 * Cost: 2 (W - 1) steps, 2 (W - 1)/W n floats out and as many in, over one link each way, which no
 * algorithm undercuts; 2 (W - 1) latencies. Slice k is added from worker k on, round the ring.
 * Patarasuk, Yuan 2009. */
#include "base/alloc.h"
#include "collective/kinds.h"

enum { PIECE = 1 << 18, AHEAD = 8 }; /* floats of a piece; receives posted before they are due */

struct ring {
    int64_t pieces;        /* of the longest slice; shorter ones end with empty pieces */
    int64_t turns;         /* 2 (W - 1) steps of so many pieces */
    struct request **sent; /* [turns] */
    struct request *come[AHEAD];
};

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
}

static void close(struct collective *c)
{
    xfree(((struct ring *)c->own)->sent);
}

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

static void send(struct collective *c, const float *vector, int64_t turn)
{
    struct ring *r = c->own;
    if (turn < r->turns)
        r->sent[turn] = collective_send(c, neighbour(c, 1), adds(c, turn) ? TAG_REDUCE : TAG_GATHER,
                                        vector, piece_out(c, turn));
}

static void expect(struct collective *c, int64_t turn)
{
    struct ring *r = c->own;
    if (turn < r->turns)
        r->come[turn % AHEAD] = net_recv(c->n->net, collective_rank(c, neighbour(c, -1)),
                                         adds(c, turn) ? TAG_REDUCE : TAG_GATHER, NULL, 0);
}

static void sum(struct collective *c, float *vector, double scale)
{
    struct ring *r = c->own;
    int before = neighbour(c, -1), behind = neighbour(c, 1);
    for (int64_t turn = 0; turn < AHEAD; turn++)
        expect(c, turn);
    for (int64_t turn = 0; turn < r->pieces; turn++)
        send(c, vector, turn);
    for (int64_t turn = 0; turn < r->turns; turn++) {
        struct range at = piece_in(c, turn);
        bool last = turn + r->pieces >= r->turns / 2;
        const float *theirs = collective_take(c, r->come[turn % AHEAD], before, at.to - at.from);
        const float *const both[] = {theirs, vector + at.from};
        if (adds(c, turn)) {
            double factor = last ? scale : 1;
            collective_add(c, vector + at.from, both, (const double[]){factor, factor}, 2,
                           at.to - at.from);
        } else {
            /* the same floats went out then */
            collective_done(c, &r->sent[turn - r->turns / 2], behind);
            collective_copy(c, vector + at.from, theirs, at.to - at.from);
        }
        net_release(c->n->net, r->come[turn % AHEAD]);
        expect(c, turn + AHEAD);
        send(c, vector, turn + r->pieces);
    }
    for (int64_t turn = 0; turn < r->turns; turn++)
        collective_done(c, &r->sent[turn], behind);
}

const struct method method_ring = {"ring", NULL, open, close, sum, NULL};
