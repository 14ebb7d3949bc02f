/* Windows in the real world: ranks of the owner's host map its memory, the others go through MPI's
 * one-sided calls.
 *
 * The owner tells each rank where the memory lies. Cost: within the host, loads and stores; an
 * added float that is not zero is one compare-and-swap. Between hosts, pieces of 1 MiB,
 * TRANSPORT_AHEAD of them in flight, and a flush. Where MPI has no hardware for it the owner's
 * calls move them, so it is told of each access (measured, 94 MB added on
 * pretended hosts: 850 ms while an idle owner looks every 1 ms, 150 to 180 ms every 20 us). MPI
 * guarantees atomic addition among its own calls only: where there is a rank of another host, all
 * additions go through MPI, the owner's too. */
#define _GNU_SOURCE
#include "messaging/mpi/process.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

/* Body of the owner's message: where the block lies in its file, and what it opens. */
struct window_note {
    uint64_t block, span, offset, bytes;
};

struct mpi_window {
    struct rma_window window;
    char *data;                /* NULL on another host */
    struct envelope place;     /* of a local rank's memory */
    struct exposure *exposure; /* NULL: all ranks are of the owner's host */
};

static struct process *process_of(const struct rma_window *w)
{
    return w->net->self;
}

/* The owner says where the block lies in its file, and whether MPI is needed. */
static void announce(const struct mpi_window *w, bool exposed)
{
    struct net *net = w->window.net;
    const struct window_note note = {.block = w->place.block,
                                     .span = w->place.span,
                                     .offset = w->place.offset,
                                     .bytes = w->window.bytes};
    struct header header = {.tag = TAG_WORLD, .flags = exposed};
    header_pack(&header, note);
    for (int i = 0; i < net->ranks; i++)
        if (i != net->rank)
            net->calls->send(net, i, &header, NULL, 0);
}

/* Returns whether MPI is needed. */
static bool receive_place(struct mpi_window *w)
{
    struct net *net = w->window.net;
    struct request *receive = net->calls->recv(net, w->window.owner, TAG_WORLD, NULL, 0);
    net_await(net, receive, w->window.owner, "a window to be opened");
    const struct header *m = net_header(receive);
    bool needed = m->flags;
    struct window_note note;
    header_unpack(m, note);
    CHECK(note.bytes == w->window.bytes,
          "rank %d opens a window of %zu bytes, which has %llu at its owner, rank %d", net->rank,
          w->window.bytes, (unsigned long long)note.bytes, w->window.owner);
    w->place = (struct envelope){.header.bytes = w->window.bytes,
                                 .block = note.block,
                                 .span = note.span,
                                 .offset = note.offset};
    net_release(net, receive);
    return needed;
}

/* Ends the run when that rank (NET_ANY: some rank) is lost. `looked_s`: the last time. */
static void look_for_lost(struct net *net, int rank, double *looked_s, const char *what)
{
    char why[NET_WHY];
    if (net_now(net) < *looked_s + 1)
        return;
    *looked_s = net_now(net);
    for (int r = 0; r < net->ranks; r++)
        if ((rank == NET_ANY || r == rank) && !net->absent[r] && net_is_lost(net, r, why))
            die(EXIT_SILENT, "%s; this rank %s", why, what);
}

/* Before a call in which MPI waits for all and nobody looks for the dead: all are here, and nobody
 * waits for a message that this rank still has to send. */
static void synchronize(struct net *net)
{
    struct process *p = net->self;
    double looked_s = net_now(net);
    net_barrier(net);
    for (bool flushed = false; !flushed && !process_any_absent(p);) {
        net_poll(net);
        process_lock(p);
        flushed = segment_flush(p->segment);
        process_unlock(p);
        look_for_lost(net, NET_ANY, &looked_s, "opens or closes a window with it");
    }
}

struct rma_window *mpi_window_open(struct net *net, int owner, void *block, size_t bytes)
{
    struct process *p = net->self;
    struct mpi_window *w = xcalloc(1, sizeof *w);
    w->window = (struct rma_window){.net = net, .owner = owner, .bytes = bytes};
    bool exposed = p->remote_count > 0;
    if (owner == net->rank) {
        w->data = block;
        CHECK(segment_locate(p->segment, block, bytes, &w->place),
              "a window of %zu bytes must lie in memory of net_alloc()", bytes);
        announce(w, exposed);
    } else {
        exposed = receive_place(w);
        if (p->local[owner])
            w->data = segment_map(p->segment, owner, &w->place);
    }
    if (exposed) {
        synchronize(net);
        process_lock(p);
        w->exposure = transport_expose(p->transport, block, block ? bytes : 0);
        process_unlock(p);
    }
    return &w->window;
}

void mpi_window_close(struct rma_window *window)
{
    struct mpi_window *w = (struct mpi_window *)window;
    struct process *p = process_of(window);
    synchronize(window->net);
    if (w->exposure && !process_any_absent(p)) { /* the library can close it with all ranks only */
        process_lock(p);
        transport_unexpose(w->exposure);
        process_unlock(p);
    }
    if (w->data && window->owner != window->net->rank)
        segment_unmap(w->data, &w->place);
    xfree(w);
}

void *mpi_window_data(struct rma_window *window)
{
    return ((struct mpi_window *)window)->data;
}

/* Moves a payload from or to the owner's memory. The owner need not answer, only live. */
static void move(struct mpi_window *w, struct moving *payload)
{
    struct process *p = process_of(&w->window);
    struct net *net = w->window.net;
    int owner = w->window.owner;
    payload->peer = owner;
    payload->exposure = w->exposure;
    *(payload->out ? &net->sent_bytes : &net->received_bytes) += (int64_t)payload->bytes;
    process_notify_access(p, owner, 1);
    process_lock(p);
    transport_start(p->transport, payload);
    process_unlock(p);
    const char *what = payload->out ? "adds to a window" : "reads a window";
    double looked_s = -INFINITY;
    do
        look_for_lost(net, owner, &looked_s, what);
    while (process_wait(p, NULL, 0, payload, net_now(net) + 1) < 0);
    process_notify_access(p, owner, -1);
}

void mpi_window_get(struct rma_window *window, void *into, size_t offset, size_t bytes)
{
    struct mpi_window *w = (struct mpi_window *)window;
    if (w->data)
        memcpy(into, w->data + offset, bytes);
    else
        move(w, &(struct moving){.at = into, .bytes = bytes, .place = offset});
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

void mpi_window_add(struct rma_window *window, const float *from, int64_t offset, int64_t count)
{
    struct mpi_window *w = (struct mpi_window *)window;
    struct process *p = process_of(window);
    if (w->exposure) {
        /* MPI takes it as constant. */
        move(w, &(struct moving){.at = (char *)(uintptr_t)from,
                                 .bytes = (size_t)count * sizeof *from,
                                 .place = (size_t)offset * sizeof *from,
                                 .out = true});
        process_lock(p);
        transport_flush(w->exposure, window->owner);
        process_unlock(p);
        return;
    }
    float *to = (float *)w->data + offset;
    for (int64_t i = 0; i < count; i++)
        if (from[i] != 0)
            add_atomically(&to[i], from[i]);
}
