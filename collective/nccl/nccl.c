/* NVIDIA's all-reduce, where every worker computes on a GPU of its own (NCCL refuses two ranks on
 * one).
 *
 * Rule: the library's; it scales what each worker gives before it adds, and gives all the same
 * bits. The vector goes up, is summed and comes down in pieces, so that both ways over the bus and
 * the links between the GPUs are busy at once. Cost: n floats up and n down per worker, the
 * library's 2 (W - 1)/W n between GPUs, and two heads to and from the first worker: all meet before
 * each sum, so that no GPU spins for a worker that is not on its way. The communicator never blocks
 * (no call of the library may wait beyond a deadline): it is asked again and again, and pauses are
 * taken part in meanwhile. What the library refuses ends the program with its words. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "collective/kinds.h"
#include "collective/nccl/library.h"
#include "backend/backend.h"

enum { PIECE = 1 << 22 }; /* floats: 16 MiB, enough for the library to be at its best */

/* What a worker says of itself, and what the first one answers. */
struct hello {
    char gpu[64]; /* "": it has none */
    char why[128];
};

struct answer {
    bool fits;
    char why[200];
    ncclUniqueId id;
};

struct nccl {
    struct nccl_calls call;
    ncclUniqueId id;
    ncclComm_t comm;
    ncclRedOp_t scaled; /* scale x theirs, added ... */
    double scale;       /* ... of this scale; 0: none was made */
    struct device_buffer *buffer;
    struct collective *all;
};

static const struct device_buffer_kind *buffers(const struct collective *c)
{
    return c->n->context->problem->device_buffer;
}

static void expect(const struct nccl *k, ncclResult_t result, const char *what)
{
    CHECK(result == ncclSuccess || result == ncclInProgress, "%s: NCCL says %s: %s", what,
          k->call.ncclGetErrorString(result), k->call.ncclGetLastError(k->comm));
}

/* Has the library done all that it was told, or at least taken it? */
static bool settled(void *self)
{
    const struct nccl *k = self;
    ncclResult_t state = ncclSuccess;
    expect(k, k->call.ncclCommGetAsyncError(k->comm, &state), "ncclCommGetAsyncError");
    expect(k, state, "the communicator");
    return state == ncclSuccess;
}

static void settle(struct nccl *k, ncclResult_t result, const char *what)
{
    expect(k, result, what);
    node_wait_until(k->all->n, settled, k, what);
}

static bool summed(void *self)
{
    struct nccl *k = self;
    return settled(k) && buffers(k->all)->is_done(k->buffer);
}

/* ---- can it be used? */

static void describe(const struct collective *c, bool loaded, const char *why, struct hello *h)
{
    const struct net *net = c->n->net;
    if (!buffers(c))
        snprintf(h->why, sizeof h->why, "worker %d computes on no GPU", c->worker);
    else if (!loaded)
        snprintf(h->why, sizeof h->why, "%s", why);
    else
        buffers(c)->name(net->local_rank, h->gpu, sizeof h->gpu);
}

/* The first worker's judgement of all. */
static void judge(const struct collective *c, const struct nccl *k, const struct hello *said,
                  struct answer *a)
{
    *a = (struct answer){.fits = true};
    for (int i = 0; i < c->workers && a->fits; i++) {
        a->fits = *said[i].gpu;
        snprintf(a->why, sizeof a->why, "%s", said[i].why);
        for (int j = 0; j < i && a->fits; j++) {
            const char *host = net_host(c->n->net, collective_rank(c, i));
            if (strcmp(said[i].gpu, said[j].gpu) != 0 ||
                strcmp(host, net_host(c->n->net, collective_rank(c, j))) != 0)
                continue;
            a->fits = false;
            snprintf(a->why, sizeof a->why,
                     "workers %d and %d share %.40s of %.60s, and NCCL wants one each", j, i,
                     said[i].gpu, host);
        }
    }
    if (a->fits)
        expect(k, k->call.ncclGetUniqueId(&a->id), "ncclGetUniqueId");
}

/* What that worker sends, copied. */
static void take(struct collective *c, int worker, int tag, void *to, size_t bytes)
{
    struct request *come = net_recv(c->n->net, collective_rank(c, worker), tag, to, bytes),
                   *list[2] = {NULL, come};
    node_wait(c->n, list, 2, INFINITY, "a worker's part in opening sums",
              collective_rank(c, worker));
    CHECK(net_header(come)->bytes == bytes, "rank %d sent %llu bytes to open sums, not %zu",
          net_header(come)->from, (unsigned long long)net_header(come)->bytes, bytes);
    net_release(c->n->net, come);
}

static void give(struct collective *c, int worker, int tag, const void *from, size_t bytes)
{
    struct request *sent =
        net_send(c->n->net, collective_rank(c, worker), &(struct header){.tag = tag}, from, bytes);
    collective_done(c, &sent, worker);
}

/* The first worker hears all and tells all: whether, and the name under which the library's ranks
 * find each other. */
static void agree(struct collective *c, const struct nccl *k, const struct hello *own,
                  struct answer *a)
{
    size_t bytes =
        sizeof(struct answer) > sizeof(struct hello) ? sizeof(struct answer) : sizeof(struct hello);
    void *header = net_alloc(c->n->net, bytes);
    if (c->worker > 0) {
        memcpy(header, own, sizeof *own);
        give(c, 0, TAG_REDUCE, header, sizeof *own);
        take(c, 0, TAG_GATHER, a, sizeof *a);
    } else {
        struct hello *said = xcalloc((size_t)c->workers, sizeof *said);
        said[0] = *own;
        for (int i = 1; i < c->workers; i++)
            take(c, i, TAG_REDUCE, &said[i], sizeof *said);
        judge(c, k, said, a);
        memcpy(header, a, sizeof *a);
        for (int i = 1; i < c->workers; i++)
            give(c, i, TAG_GATHER, header, sizeof *a);
        xfree(said);
    }
    net_free(c->n->net, header);
}

static bool fits(struct collective *c, char *why, size_t size)
{
    struct hello own = {.gpu = ""};
    struct answer a;
    if (c->workers < 2) {
        snprintf(why, size, "there is one worker");
        return false;
    }
    if (c->n->net->virtual_time &&
        !buffers(c)) { /* so it is with all of them: to agree would only take their time */
        snprintf(why, size, "worker %d computes on no GPU", c->worker);
        return false;
    }
    struct nccl *k = xcalloc(1, sizeof *k);
    describe(c, buffers(c) && nccl_load(&k->call, why, size), why, &own);
    agree(c, k, &own, &a);
    k->id = a.id;
    k->all = c;
    c->own = k;
    snprintf(why, size, "%s", a.why);
    if (!a.fits) {
        xfree(k);
        c->own = NULL;
    }
    return a.fits;
}

/* ---- the sums */

static void open(struct collective *c)
{
    struct nccl *k = c->own;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    k->buffer = buffers(c)->open(c->n->net->local_rank, c->count);
    settle(k, k->call.ncclCommInitRankConfig(&k->comm, c->workers, k->id, c->worker, &config),
           "ncclCommInitRankConfig");
}

static void drop_scale(struct nccl *k)
{
    if (k->scale != 0)
        expect(k, k->call.ncclRedOpDestroy(k->scaled, k->comm), "ncclRedOpDestroy");
    k->scale = 0;
}

/* All workers leave together; the library flushes what is under way. */
static void close(struct collective *c)
{
    struct nccl *k = c->own;
    drop_scale(k);
    settle(k, k->call.ncclCommFinalize(k->comm), "ncclCommFinalize");
    expect(k, k->call.ncclCommDestroy(k->comm), "ncclCommDestroy");
    buffers(c)->close(k->buffer);
}

static ncclRedOp_t operation(struct nccl *k, double scale)
{
    if (scale == 1)
        return ncclSum;
    if (k->scale != scale) {
        float factor = (float)scale;
        drop_scale(k);
        expect(k,
               k->call.ncclRedOpCreatePreMulSum(&k->scaled, &factor, ncclFloat,
                                                ncclScalarHostImmediate, k->comm),
               "ncclRedOpCreatePreMulSum");
        k->scale = scale;
    }
    return k->scaled;
}

static void sum(struct collective *c, float *vector, double scale)
{
    struct nccl *k = c->own;
    const struct device_buffer_kind *kind = buffers(c);
    float *data = kind->data(k->buffer);
    ncclRedOp_t op = operation(k, scale);
    collective_meet(c);
    for (int64_t from = 0; from < c->count; from += PIECE) {
        int64_t count = c->count - from < PIECE ? c->count - from : PIECE;
        kind->upload(k->buffer, vector, from, count);
        settle(k,
               k->call.ncclAllReduce(data + from, data + from, (size_t)count, ncclFloat, op,
                                     k->comm, kind->stream(k->buffer)),
               "ncclAllReduce");
        kind->download(k->buffer, vector, from, count);
    }
    node_wait_until(c->n, summed, k, "the library's sum");
}

static void version(char *text, size_t size)
{
    struct nccl_calls call;
    int number = 0;
    if (!nccl_load(&call, text, size))
        return;
    call.ncclGetVersion(&number);
    snprintf(text, size, "NCCL %d.%d.%d", number / 10000, number / 100 % 100, number % 100);
}

const struct method method_nccl = {
    .name = "nccl",
    .summary = "NVIDIA's all-reduce, where each worker has a GPU of its own",
    .fits = fits,
    .open = open,
    .close = close,
    .sum = sum,
    .version = version,
};
