/* Windows in the simulated world: all ranks live in one memory; on one host, unless
 * messaging/links.h places them.
 *
 * Rule: loads and stores take no time. A get or an add takes what a message alone would, whatever
 * else is on the ports. It moves in PIECES: a get reads each at the owner when the piece leaves, an
 * add adds each when it comes. Other ranks run meanwhile, so what a get returns may be torn, and is
 * as old as its way is long. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "messaging/sim/sim.h"

enum { PIECES = 16 };

struct sim_window {
    struct rma_window window;
    char *data;
};

struct window_note { /* body of the owner's message */
    void *block;
    size_t bytes;
};

struct rma_window *sim_window_open(struct net *net, int owner, void *block, size_t bytes)
{
    struct rank *rank = net->self;
    struct sim_window *r = xcalloc(1, sizeof *r);
    r->window = (struct rma_window){.net = net, .owner = owner, .bytes = bytes};
    r->data = block;
    if (owner == net->rank) {
        STRICT(sim_block_of(rank, block, bytes), rank->sim,
               "rank %d opens a window of %zu bytes that does not lie in its net_alloc() memory",
               owner, bytes);
        const struct window_note note = {.block = block, .bytes = bytes};
        struct header header = {.tag = TAG_WORLD};
        header_pack(&header, note);
        for (int i = 0; i < net->ranks; i++)
            if (i != owner)
                net->calls->send(net, i, &header, NULL, 0);
        return &r->window;
    }
    struct request *come = net->calls->recv(net, owner, TAG_WORLD, NULL, 0);
    net_wait(net, &come, 1, INFINITY);
    struct window_note note;
    header_unpack(net_header(come), note);
    STRICT(note.bytes == bytes, rank->sim,
           "rank %d opens a window of %zu bytes, which has %zu at its owner, rank %d", net->rank,
           bytes, note.bytes, owner);
    r->data = note.block;
    net_release(net, come);
    return &r->window;
}

void sim_window_close(struct rma_window *window)
{
    net_barrier(window->net);
    xfree(window);
}

void *sim_window_data(struct rma_window *window)
{
    const struct sim *sim = ((struct rank *)window->net->self)->sim;
    bool local = !sim->options.links ||
                 sim_host_of(sim, window->owner) == sim_host_of(sim, window->net->rank);
    return local ? ((struct sim_window *)window)->data : NULL;
}

/* Seconds that so many bytes are on their way from or to the owner. */
static double way_s(const struct rma_window *window, size_t bytes)
{
    const struct net *net = window->net;
    return window->owner == net->rank
               ? 0
               : sim_alone_s(((struct rank *)net->self)->sim, net->rank, window->owner, bytes);
}

static size_t piece_from(size_t count, int piece)
{
    return count * (size_t)piece / PIECES;
}

void sim_window_get(struct rma_window *window, void *into, size_t offset, size_t bytes)
{
    const char *from = ((struct sim_window *)window)->data + offset;
    double latency_s = way_s(window, 0), moving_s = way_s(window, bytes) - latency_s;
    for (int piece = 0; piece < PIECES; piece++) {
        size_t at = piece_from(bytes, piece);
        memcpy((char *)into + at, from + at, piece_from(bytes, piece + 1) - at);
        net_advance(window->net, moving_s / PIECES);
    }
    net_advance(window->net, latency_s);
}

void sim_window_add(struct rma_window *window, const float *from, int64_t offset, int64_t count)
{
    float *to = (float *)((struct sim_window *)window)->data + offset;
    double latency_s = way_s(window, 0),
           moving_s = way_s(window, (size_t)count * sizeof *from) - latency_s;
    net_advance(window->net, latency_s);
    for (int piece = 0; piece < PIECES; piece++) {
        net_advance(window->net, moving_s / PIECES);
        for (size_t i = piece_from((size_t)count, piece); i < piece_from((size_t)count, piece + 1);
             i++)
            to[i] += from[i];
    }
}
