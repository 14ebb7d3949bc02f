/* Regions in the real world: ranks of the owner's host map its memory, the others go through MPI's
 * one-sided calls.
 *
 * The owner tells each rank where the memory lies. Cost: within the host, loads and stores; an
 * added float that is not zero is one compare-and-swap. Between hosts, pieces of 1 MiB,
 * TRANSPORT_AHEAD of them in flight, and a flush. Where MPI has no hardware for it the owner's
 * calls are what moves them, so it is told that someone reaches in (measured, 94 MB added on
 * pretended hosts: 850 ms while an idle owner looks every 1 ms, 150 to 180 ms every 20 us). MPI
 * vouches for atomic addition among its own calls only: where there is a rank of another host, all
 * additions go through MPI, the owner's too. */
#define _GNU_SOURCE
#include "messaging/mpi/mpi.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

enum { TAG_WORLD = 63, PATIENCE_S = 60 };

/* Body of the owner's message: where the block lies in its file, and what it opens. */
struct window_note {
    uint64_t block, span, offset, bytes;
};

struct mpi_region {
    struct rma_window region;
    char *data;                /* NULL on another host */
    struct envelope place;     /* of a local_rank's memory */
    struct exposure *exposure; /* NULL: all ranks are of the owner's host */
};

static struct world *world_of(const struct rma_window *r)
{
    return r->net->self;
}

static _Noreturn void give_up(struct net *net, int rank, const char *what)
{
    die(EXIT_SILENT, "rank %d %s rank %d on %s, which gives no sign of life", net->rank, what, rank,
        net_host(net, rank));
}

/* The owner says where the block lies in its file, and whether MPI is needed. */
static void tell(const struct mpi_region *r, bool exposed)
{
    struct net *net = r->region.net;
    const struct window_note note = {.block = r->place.block,
                                     .span = r->place.span,
                                     .offset = r->place.offset,
                                     .bytes = r->region.bytes};
    struct header head = {.tag = TAG_WORLD, .flags = exposed};
    header_pack(&head, note);
    for (int i = 0; i < net->ranks; i++)
        if (i != net->rank)
            net->world->send(net, i, &head, NULL, 0);
}

/* Returns whether MPI is needed. */
static bool hear(struct mpi_region *r)
{
    struct net *net = r->region.net;
    struct request *come = net->world->recv(net, r->region.owner, TAG_WORLD, NULL, 0);
    while (net_wait(net, &come, 1, net_now(net) + 1) < 0)
        if (isinf(net_since_heard(net, r->region.owner)))
            give_up(net, r->region.owner, "waits for a region of");
    const struct header *m = net_header(come);
    bool needed = m->flags;
    struct window_note note;
    header_unpack(m, note);
    CHECK(note.bytes == r->region.bytes,
          "rank %d opens a region of %zu bytes, which has %llu at its owner, rank %d", net->rank,
          r->region.bytes, (unsigned long long)note.bytes, r->region.owner);
    r->place = (struct envelope){.header.bytes = r->region.bytes,
                                 .block = note.block,
                                 .span = note.span,
                                 .offset = note.offset};
    net_release(net, come);
    return needed;
}

/* Before a call in which MPI waits for all and nobody looks for the dead: all are here, and nobody
 * waits for a head that this rank still has to bring. */
static void gather(struct net *net)
{
    struct world *w = net->self;
    net_barrier(net);
    for (bool flushed = false; !flushed;) {
        net_poll(net);
        mpi_enter(w);
        flushed = segment_flush(w->segment);
        mpi_quit(w);
    }
}

struct rma_window *mpi_window_open(struct net *net, int owner, void *block, size_t bytes)
{
    struct world *w = net->self;
    struct mpi_region *r = xcalloc(1, sizeof *r);
    r->region = (struct rma_window){.net = net, .owner = owner, .bytes = bytes};
    bool exposed = w->remote_count > 0;
    if (owner == net->rank) {
        r->data = block;
        CHECK(segment_show(w->segment, block, bytes, &r->place),
              "a region of %zu bytes must lie in memory of net_alloc()", bytes);
        tell(r, exposed);
    } else {
        exposed = hear(r);
        if (w->local[owner])
            r->data = segment_share(w->segment, owner, &r->place);
    }
    if (exposed) {
        gather(net);
        mpi_enter(w);
        r->exposure = transport_expose(w->transport, block, block ? bytes : 0);
        mpi_quit(w);
    }
    return &r->region;
}

void mpi_window_close(struct rma_window *region)
{
    struct mpi_region *r = (struct mpi_region *)region;
    struct world *w = world_of(region);
    gather(region->net);
    if (r->exposure) {
        mpi_enter(w);
        transport_cover(r->exposure);
        mpi_quit(w);
    }
    if (r->data && region->owner != region->net->rank)
        segment_unshare(r->data, &r->place);
    xfree(r);
}

void *mpi_window_data(struct rma_window *region)
{
    return ((struct mpi_region *)region)->data;
}

/* Moves a payload from or to the owner's memory. The owner need not answer, only live. */
static void move(struct mpi_region *r, struct moving *payload)
{
    struct world *w = world_of(&r->region);
    struct net *net = r->region.net;
    int owner = r->region.owner;
    payload->peer = owner;
    payload->exposure = r->exposure;
    *(payload->out ? &net->sent_bytes : &net->received_bytes) += (int64_t)payload->bytes;
    mpi_reach(w, owner, 1);
    mpi_enter(w);
    transport_move(w->transport, payload);
    mpi_quit(w);
    do
        if (owner != net->rank && net_since_heard(net, owner) > PATIENCE_S)
            give_up(net, owner, payload->out ? "adds to a region of" : "reads a region of");
    while (!mpi_await(w, payload, net_now(net) + 1));
    mpi_reach(w, owner, -1);
}

void mpi_window_get(struct rma_window *region, void *into, size_t offset, size_t bytes)
{
    struct mpi_region *r = (struct mpi_region *)region;
    if (r->data)
        memcpy(into, r->data + offset, bytes);
    else
        move(r, &(struct moving){.at = into, .bytes = bytes, .place = offset});
}

/* A float as the bits that a compare-and-swap takes. */
static void add_atomically(float *to, float value)
{
    _Atomic uint32_t *cell = (_Atomic uint32_t *)to;
    uint32_t seen = atomic_load_explicit(cell, memory_order_relaxed), wanted;
    do {
        float sum;
        memcpy(&sum, &seen, sizeof sum);
        sum += value;
        memcpy(&wanted, &sum, sizeof sum);
    } while (!atomic_compare_exchange_weak_explicit(cell, &seen, wanted, memory_order_relaxed,
                                                    memory_order_relaxed));
}

void mpi_window_add(struct rma_window *region, const float *from, int64_t offset, int64_t count)
{
    struct mpi_region *r = (struct mpi_region *)region;
    struct world *w = world_of(region);
    if (r->exposure) {
        /* MPI takes it as constant again. */
        move(r, &(struct moving){.at = (char *)(uintptr_t)from,
                                 .bytes = (size_t)count * sizeof *from,
                                 .place = (size_t)offset * sizeof *from,
                                 .out = true});
        mpi_enter(w);
        transport_flush(r->exposure, region->owner);
        mpi_quit(w);
        return;
    }
    float *to = (float *)r->data + offset;
    for (int64_t i = 0; i < count; i++)
        if (from[i] != 0)
            add_atomically(&to[i], from[i]);
}

const void *mpi_block(struct net *net, const struct request *r, size_t *bytes)
{
    struct world *w = net->self;
    mpi_enter(w);
    const void *block =
        segment_block(w->segment, matching_header(r)->from, matching_data(r), bytes);
    mpi_quit(w);
    return block;
}
