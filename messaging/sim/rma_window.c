/* Windows in the simulated world: all ranks live in one memory; on one host, unless
 * messaging/links.h places them.
 *
 * Rule: loads and stores take no time. A get or an add takes what a message alone would, whatever
 * else is on the ports, and happens when that time is over; other ranks run meanwhile. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "messaging/sim/sim.h"

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

static void pass_time(struct rma_window *window, size_t bytes)
{
    struct net *net = window->net;
    if (window->owner != net->rank)
        net_advance(net,
                    sim_alone_s(((struct rank *)net->self)->sim, net->rank, window->owner, bytes));
}

void sim_window_get(struct rma_window *window, void *into, size_t offset, size_t bytes)
{
    pass_time(window, bytes);
    memcpy(into, ((struct sim_window *)window)->data + offset, bytes);
}

void sim_window_add(struct rma_window *window, const float *from, int64_t offset, int64_t count)
{
    pass_time(window, (size_t)count * sizeof *from);
    float *to = (float *)((struct sim_window *)window)->data + offset;
    for (int64_t i = 0; i < count; i++)
        to[i] += from[i];
}
