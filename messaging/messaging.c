/* Checks of arguments that both worlds need, the calls through the world's table, the barrier.
 *
 * Who is lost: vitals.c. Cost of the barrier: 2 headers per rank, 2 latencies, and what P headers
 * take on rank 0's link. */
#include "messaging/messaging.h"

#include <assert.h>
#include <math.h>

#include "base/check.h"
#include "messaging/calls.h"

static void check_send(const struct net *net, int to, int tag, int64_t version, const void *payload,
                       size_t bytes)
{
    const char *wrong = to == net->rank              ? "a rank cannot send to itself"
                        : to < 0 || to >= net->ranks ? "no such rank"
                        : tag < 0 || tag >= NET_TAGS ? "no such tag"
                        : tag == TAG_WORLD           ? "the tag is reserved for the barrier"
                        : bytes && !payload          ? "a payload of NULL"
                                                     : NULL;
    if (wrong)
        die(EXIT_WORLD, "rank %d cannot send to rank %d (tag %d, version %lld, %zu bytes): %s",
            net->rank, to, tag, (long long)version, bytes, wrong);
}

struct request *net_send(struct net *net, int to, const struct header *header, const void *payload,
                         size_t bytes)
{
    check_send(net, to, header->tag, header->version, payload, bytes);
    return net->calls->send(net, to, header, payload, bytes);
}

struct request *net_send_begin(struct net *net, int to, int tag, const void *payload, size_t bytes)
{
    check_send(net, to, tag, 0, payload, bytes);
    assert(bytes > 0);
    return net->calls->send_begin(net, to, tag, payload, bytes);
}

void net_send_ready(struct net *net, struct request *request, size_t from)
{
    net->calls->send_ready(net, request, from);
}

void net_send_commit(struct net *net, struct request *request, const struct header *header)
{
    net->calls->send_commit(net, request, header);
}

struct request *net_recv(struct net *net, int from, int tag, void *into, size_t capacity)
{
    const char *wrong = from == net->rank ? "a rank cannot receive from itself"
                        : from != NET_ANY && (from < 0 || from >= net->ranks) ? "no such rank"
                        : tag < 0 || tag >= NET_TAGS                          ? "no such tag"
                        : tag == TAG_WORLD ? "the tag is reserved for the barrier"
                                           : NULL;
    if (wrong)
        die(EXIT_WORLD, "rank %d cannot receive from rank %d (tag %d): %s", net->rank, from, tag,
            wrong);
    return net->calls->recv(net, from, tag, into, capacity);
}

int net_wait(struct net *net, struct request *const *list, int count, double until_s)
{
    assert(!isnan(until_s));
    int index = net->calls->wait(net, list, count, until_s);
    if (net->observer && index >= 0)
        net->observer->returned(net->observer->owner, list[index]);
    return index;
}

static const struct net_calls *calls_of(const struct request *request)
{
    return *(const struct net_calls *const *)request;
}

const struct header *net_header(const struct request *request)
{
    return calls_of(request)->header(request);
}

const void *net_data(const struct request *request)
{
    return calls_of(request)->data(request);
}

struct net_passage net_passage(struct net *net, const struct request *request)
{
    return net->calls->passage(net, request);
}

const void *net_block(struct net *net, const struct request *request, size_t *bytes)
{
    return net->calls->block ? net->calls->block(net, request, bytes) : NULL;
}

void net_release(struct net *net, struct request *request)
{
    if (!request)
        return;
    if (net->observer)
        net->observer->released(net->observer->owner, request);
    net->calls->release(net, request);
}

double net_now(struct net *net)
{
    return net->calls->now(net);
}

void net_advance(struct net *net, double seconds)
{
    assert(seconds >= 0 && isfinite(seconds));
    net->calls->advance(net, seconds);
}

int net_advance_parts(struct net *net, const double *seconds, int count)
{
    assert(count > 0);
    if (net->calls->advance_parts)
        return net->calls->advance_parts(net, seconds, count);
    net_advance(net, *seconds);
    return 1;
}

void net_poll(struct net *net)
{
    net->calls->poll(net);
}

void *net_alloc(struct net *net, size_t bytes)
{
    void *block = net->calls->alloc(net, bytes);
    if (net->register_memory)
        net->register_memory(net->memory_owner, block, bytes);
    return block;
}

void net_free(struct net *net, void *block)
{
    if (block && net->unregister_memory)
        net->unregister_memory(net->memory_owner, block);
    if (block)
        net->calls->free(net, block);
}

const char *net_host(struct net *net, int rank)
{
    assert(rank >= 0 && rank < net->ranks);
    return net->calls->host(net, rank);
}

static void barrier_send(struct net *net, int to)
{
    const struct header header = {.tag = TAG_WORLD};
    net_release(net, net->calls->send(net, to, &header, NULL, 0));
}

static void barrier_recv(struct net *net, int from)
{
    struct request *request = net->calls->recv(net, from, TAG_WORLD, NULL, 0);
    net_await(net, request, from, "all ranks at a barrier");
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
        if (!net->absent || !net->absent[rank])
            barrier_recv(net, rank);
    for (int rank = 1; rank < net->ranks; rank++)
        barrier_send(net, rank);
}

struct rma_window *net_window_open(struct net *net, int owner, void *block, size_t bytes)
{
    assert(owner >= 0 && owner < net->ranks && (owner == net->rank) == (block != NULL));
    return net->calls->window.open(net, owner, block, bytes);
}

void net_window_close(struct rma_window *window)
{
    if (window)
        window->net->calls->window.close(window);
}

void *net_window_data(struct rma_window *window)
{
    return window->net->calls->window.data(window);
}

static void check_place(const struct rma_window *window, uint64_t offset, uint64_t bytes)
{
    if (offset > window->bytes || bytes > window->bytes - offset)
        die(EXIT_WORLD, "rank %d reaches for %llu bytes at %llu of rank %d's window, which has %zu",
            window->net->rank, (unsigned long long)bytes, (unsigned long long)offset, window->owner,
            window->bytes);
}

void net_window_get(struct rma_window *window, void *into, size_t offset, size_t bytes)
{
    check_place(window, offset, bytes);
    window->net->calls->window.get(window, into, offset, bytes);
}

void net_window_add(struct rma_window *window, const float *from, int64_t offset, int64_t count)
{
    assert(offset >= 0 && count >= 0);
    check_place(window, (uint64_t)offset * sizeof *from, (uint64_t)count * sizeof *from);
    window->net->calls->window.add(window, from, offset, count);
}

bool net_can_sum(const struct net *net)
{
    return net->calls->sum;
}

struct request *net_sum(struct net *net, int first, float *vector, int64_t count)
{
    assert(net_can_sum(net) && first >= 0 && first <= net->rank && count > 0);
    return net->calls->sum(net, first, vector, count);
}

bool net_can_meet(const struct net *net)
{
    return net->calls->model;
}

struct request *net_meet(struct net *net, int first, void *given,
                         void (*together)(void *self, void *const *given, double *at_s), void *self)
{
    assert(net_can_meet(net) && first >= 0 && first <= net->rank);
    return net->calls->model->meet(net, first, given, together, self);
}

void net_model_exchange(struct net *net, const struct net_exchange *e, double *at_s)
{
    net->calls->model->exchange(net, e, at_s);
}

void net_model_shift(struct net *net, const struct net_exchange *e, double *at_s, double *free_s)
{
    net->calls->model->shift(net, e, at_s, free_s);
}

void net_visit_memory(struct net *net, void (*visit)(void *self, void *block, size_t bytes),
                      void *self)
{
    net->calls->model->visit_memory(net, visit, self);
}

void net_memory_replaced(struct net *net)
{
    net->calls->model->memory_replaced(net);
}

uint64_t net_course(struct net *net)
{
    return net->calls->model->course(net);
}

bool net_can_fail(const struct net *net)
{
    return net->calls->faults;
}

void net_stop(struct net *net, double at_s, double for_s)
{
    assert(net_can_fail(net) && for_s >= 0);
    net->calls->faults->stop(net, at_s, for_s);
}

void net_cut(struct net *net, double at_s, double for_s)
{
    assert(net_can_fail(net) && for_s >= 0 && isfinite(for_s));
    net->calls->faults->cut(net, at_s, for_s);
}
