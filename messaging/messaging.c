/* Names over the world's table, what both worlds refuse alike, and the barrier.
 *
 * A request knows its world: its first member points to the table. What is refused here is a
 * mistake of the scheme that no world could carry out (a message to oneself, a tag that is none):
 * the program ends with EXIT_WORLD and names the message. The barrier: a star over rank 0, 2 heads
 * a rank, 2 latencies and what P heads take on rank 0's link. */
#include "messaging/messaging.h"

#include <assert.h>
#include <math.h>

#include "base/check.h"

enum { TAGS = 64, TAG_WORLD = 63 };

static void check_send(const struct net *net, int to, int tag, int64_t version, const void *payload,
                       size_t bytes)
{
    const char *wrong = to == net->rank              ? "a message to oneself"
                        : to < 0 || to >= net->ranks ? "no such rank"
                        : tag < 0 || tag >= TAGS     ? "no such tag"
                        : tag == TAG_WORLD           ? "the tag is the barrier's own"
                        : bytes && !payload          ? "a payload that is nowhere"
                                                     : NULL;
    if (wrong)
        die(EXIT_WORLD, "rank %d cannot send to rank %d (tag %d, version %lld, %zu bytes): %s",
            net->rank, to, tag, (long long)version, bytes, wrong);
}

struct request *net_send(struct net *net, int to, const struct header *head, const void *payload,
                         size_t bytes)
{
    check_send(net, to, head->tag, head->version, payload, bytes);
    return net->world->send(net, to, head, payload, bytes);
}

struct request *net_send_begin(struct net *net, int to, int tag, const void *payload, size_t bytes)
{
    check_send(net, to, tag, 0, payload, bytes);
    assert(bytes > 0);
    return net->world->begin(net, to, tag, payload, bytes);
}

void net_send_ready(struct net *net, struct request *request, size_t from)
{
    net->world->grow(net, request, from, NULL);
}

void net_send_commit(struct net *net, struct request *request, const struct header *head)
{
    net->world->grow(net, request, 0, head);
}

struct request *net_recv(struct net *net, int from, int tag, void *into, size_t capacity)
{
    const char *wrong = from == net->rank ? "a message to oneself"
                        : from != NET_ANY && (from < 0 || from >= net->ranks) ? "no such rank"
                        : tag < 0 || tag >= TAGS                              ? "no such tag"
                        : tag == TAG_WORLD ? "the tag is the barrier's own"
                                           : NULL;
    if (wrong)
        die(EXIT_WORLD, "rank %d cannot receive from rank %d (tag %d): %s", net->rank, from, tag,
            wrong);
    return net->world->recv(net, from, tag, into, capacity);
}

int net_wait(struct net *net, struct request *const *list, int count, double until_s)
{
    assert(!isnan(until_s));
    return net->world->wait(net, list, count, until_s);
}

static const struct net_world *world_of(const struct request *request)
{
    return *(const struct net_world *const *)request;
}

const struct header *net_header(const struct request *request)
{
    return world_of(request)->header(request);
}

const void *net_data(const struct request *request)
{
    return world_of(request)->data(request);
}

const void *net_block(struct net *net, const struct request *request, size_t *bytes)
{
    return net->world->block ? net->world->block(net, request, bytes) : NULL;
}

void net_release(struct net *net, struct request *request)
{
    if (request)
        net->world->drop(net, request);
}

double net_now(struct net *net)
{
    return net->world->now(net);
}

void net_advance(struct net *net, double seconds)
{
    assert(seconds >= 0 && isfinite(seconds));
    net->world->spend(net, seconds);
}

int net_advance_parts(struct net *net, const double *seconds, int count)
{
    assert(count > 0);
    if (net->world->spend_parts)
        return net->world->spend_parts(net, seconds, count);
    net_advance(net, *seconds);
    return 1;
}

void net_poll(struct net *net)
{
    net->world->poll(net);
}

void *net_alloc(struct net *net, size_t bytes)
{
    void *block = net->world->alloc(net, bytes);
    if (net->on_allocation)
        net->on_allocation(net->allocation_listener, block, bytes, true);
    return block;
}

void net_free(struct net *net, void *block)
{
    if (block && net->on_allocation)
        net->on_allocation(net->allocation_listener, block, 0, false);
    if (block)
        net->world->free(net, block);
}

double net_since_heard(struct net *net, int rank)
{
    assert(rank >= 0 && rank < net->ranks);
    return net->world->silence(net, rank);
}

const char *net_host(struct net *net, int rank)
{
    assert(rank >= 0 && rank < net->ranks);
    return net->world->host(net, rank);
}

static void barrier_send(struct net *net, int to)
{
    const struct header head = {.tag = TAG_WORLD};
    net_release(net, net->world->send(net, to, &head, NULL, 0));
}

/* Waits for the barrier's head from `from`, as long as it takes, unless that rank is known to be
 * dead. Time that is a number is waited out in one piece: there a wait that never ends is found,
 * and a look every second would hide it. */
static void barrier_recv(struct net *net, int from)
{
    struct request *request = net->world->recv(net, from, TAG_WORLD, NULL, 0);
    while (net_wait(net, &request, 1, net->virtual_time ? INFINITY : net_now(net) + 1) < 0)
        if (isinf(net_since_heard(net, from)))
            die(EXIT_SILENT, "rank %d waits at a barrier for rank %d on %s, which is gone",
                net->rank, from, net_host(net, from));
    net_release(net, request);
}

void net_barrier(struct net *net)
{
    if (net->rank != 0) {
        barrier_send(net, 0);
        barrier_recv(net, 0);
        return;
    }
    for (int rank = 1; rank < net->ranks; rank++)
        barrier_recv(net, rank);
    for (int rank = 1; rank < net->ranks; rank++)
        barrier_send(net, rank);
}

struct rma_window *net_window_open(struct net *net, int owner, void *block, size_t bytes)
{
    assert(owner >= 0 && owner < net->ranks && (owner == net->rank) == (block != NULL));
    return net->world->window_open(net, owner, block, bytes);
}

void net_window_close(struct rma_window *region)
{
    if (region)
        region->net->world->window_close(region);
}

void *net_window_data(struct rma_window *region)
{
    return region->net->world->window_data(region);
}

static void check_place(const struct rma_window *region, uint64_t offset, uint64_t bytes)
{
    if (offset > region->bytes || bytes > region->bytes - offset)
        die(EXIT_WORLD, "rank %d reaches for %llu bytes at %llu of rank %d's region, which has %zu",
            region->net->rank, (unsigned long long)bytes, (unsigned long long)offset, region->owner,
            region->bytes);
}

void net_window_get(struct rma_window *region, void *into, size_t offset, size_t bytes)
{
    check_place(region, offset, bytes);
    region->net->world->window_get(region, into, offset, bytes);
}

void net_window_add(struct rma_window *region, const float *from, int64_t offset, int64_t count)
{
    assert(offset >= 0 && count >= 0);
    check_place(region, (uint64_t)offset * sizeof *from, (uint64_t)count * sizeof *from);
    region->net->world->window_add(region, from, offset, count);
}

bool net_can_sum(const struct net *net)
{
    return net->world->sum;
}

struct request *net_sum(struct net *net, int first, float *vector, int64_t count)
{
    assert(net_can_sum(net) && first >= 0 && first <= net->rank && count > 0);
    return net->world->sum(net, first, vector, count);
}
