/* Windows in the simulated world: all ranks live in one memory; on one host, unless
 * messaging/links.h places them.
 *
 * Rule: loads and stores take no time. A get or an add has its part of each port between the owner
 * and the rank, as a message has. It moves in PIECES, one after the other: a get reads each at the
 * owner when the piece leaves, an add adds each when it comes. Other ranks run meanwhile, so what a
 * get returns may be torn, and is as old as its way is long. */
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

static void pass_latency(const struct rma_window *window, int from, int to)
{
    struct net *net = window->net;
    if (from != to)
        net_advance(net, sim_route(((struct rank *)net->self)->sim, from, to).latency_s);
}

static void pass_bytes(const struct rma_window *window, int from, int to, size_t bytes)
{
    if (from != to)
        sim_access(window->net, from, to, bytes);
}

static size_t piece_from(size_t count, int piece)
{
    return count * (size_t)piece / PIECES;
}

void sim_window_get(struct rma_window *window, void *into, size_t offset, size_t bytes)
{
    const char *from = ((struct sim_window *)window)->data + offset;
    int owner = window->owner, rank = window->net->rank;
    for (int piece = 0; piece < PIECES; piece++) {
        size_t at = piece_from(bytes, piece);
        size_t length = piece_from(bytes, piece + 1) - at;
        memcpy((char *)into + at, from + at, length);
        pass_bytes(window, owner, rank, length);
    }
    pass_latency(window, owner, rank);
}

void sim_window_add(struct rma_window *window, const float *from, int64_t offset, int64_t count)
{
    float *to = (float *)((struct sim_window *)window)->data + offset;
    int owner = window->owner, rank = window->net->rank;
    pass_latency(window, rank, owner);
    for (int piece = 0; piece < PIECES; piece++) {
        size_t at = piece_from((size_t)count, piece), end = piece_from((size_t)count, piece + 1);
        pass_bytes(window, rank, owner, (end - at) * sizeof *from);
        for (size_t i = at; i < end; i++)
            to[i] += from[i];
    }
}
