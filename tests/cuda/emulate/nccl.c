#include "tests/cuda/emulate/nccl.h"

#include <stdio.h>
#include <string.h>

#include <cuda_runtime_api.h>

#include "base/alloc.h"
#include "collective/nccl/library.h"
#include "tests/cuda/emulate/runtime.h"

enum { MOST = 16, OPERATIONS = 8, FIRST = ncclNumOps };

struct clique { /* all the ranks under one name */
    int ranks, joined, called;
    struct ncclComm *rank[MOST];
};

struct result { /* of a sum, until the last rank has copied it */
    int left;
    float sum[];
};

struct ncclComm {
    struct clique *clique;
    bool busy, finalized, failed;
    float scale[OPERATIONS]; /* 0: free */
    float *from, *to;
    size_t count;
    float factor;
    cudaStream_t stream;
    cudaEvent_t came;
};

struct fake_nccl fake_nccl;

static struct {
    struct clique clique[MOST];
    int names;
} all;

static void want(bool right)
{
    fake_nccl.wrong += !right;
}

static ncclResult_t get_version(int *version)
{
    *version = 22809;
    return ncclSuccess;
}

static ncclResult_t get_unique_id(ncclUniqueId *id)
{
    memset(id, 0, sizeof *id);
    id->internal[5] = (char)(1 + all.names++ % MOST);
    all.clique[id->internal[5] - 1] = (struct clique){0};
    return ncclSuccess;
}

static ncclResult_t init(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank,
                         ncclConfig_t *config)
{
    struct clique *k = &all.clique[id.internal[5] - 1];
    want(config->blocking == 0 && ranks > 1 && ranks <= MOST && rank >= 0 && rank < ranks &&
         !k->rank[rank] && (!k->ranks || k->ranks == ranks));
    *comm = k->rank[rank] = xcalloc(1, sizeof **comm);
    (*comm)->clique = k;
    (*comm)->busy = true;
    cudaEventCreate(&(*comm)->came);
    k->ranks = ranks;
    fake_nccl.begun++;
    if (++k->joined == ranks)
        for (int i = 0; i < ranks; i++)
            k->rank[i]->busy = false;
    return ncclInProgress;
}

static ncclResult_t get_state(ncclComm_t comm, ncclResult_t *state)
{
    *state = comm->failed ? ncclRemoteError : comm->busy ? ncclInProgress : ncclSuccess;
    return ncclSuccess;
}

static ncclResult_t finalize(ncclComm_t comm)
{
    want(!comm->busy && !comm->finalized);
    comm->finalized = true;
    return ncclSuccess;
}

static ncclResult_t destroy(ncclComm_t comm)
{
    want(comm->finalized);
    for (int i = 0; i < OPERATIONS; i++)
        want(comm->scale[i] == 0);
    cudaEventDestroy(comm->came);
    xfree(comm);
    fake_nccl.ended++;
    return ncclSuccess;
}

static ncclResult_t create(ncclRedOp_t *op, void *scalar, ncclDataType_t type,
                           ncclScalarResidence_t residence, ncclComm_t comm)
{
    want(!comm->busy && !comm->finalized && type == ncclFloat &&
         residence == ncclScalarHostImmediate);
    for (int i = 0; i < OPERATIONS; i++)
        if (comm->scale[i] == 0) {
            comm->scale[i] = *(float *)scalar;
            *op = (ncclRedOp_t)(FIRST + i);
            fake_nccl.operations++;
            return ncclSuccess;
        }
    return ncclInvalidUsage;
}

static ncclResult_t drop(ncclRedOp_t op, ncclComm_t comm)
{
    want((int)op >= FIRST && comm->scale[op - FIRST] != 0);
    comm->scale[op - FIRST] = 0;
    fake_nccl.dropped++;
    return ncclSuccess;
}

struct work {
    struct result *result;
    int ranks;
    float *from[MOST], factor[MOST], *to;
    size_t count;
};

/* On the first rank's stream, when all vectors are there; in another order than ours. */
static void add(const void *argument)
{
    const struct work *k = argument;
    for (size_t i = 0; i < k->count; i++) {
        float sum = 0;
        for (int r = k->ranks - 1; r >= 0; r--)
            sum += k->factor[r] * k->from[r][i];
        k->result->sum[i] = sum;
    }
}

static void spread(const void *argument)
{
    const struct work *k = argument;
    memcpy(k->to, k->result->sum, k->count * sizeof *k->to);
    if (!--k->result->left)
        xfree(k->result);
}

static void sum_all(struct clique *c)
{
    struct work k = {.ranks = c->ranks, .count = c->rank[0]->count};
    struct ncclComm *first = c->rank[0];
    k.result = xcalloc(sizeof *k.result + k.count * sizeof *k.result->sum, 1);
    k.result->left = c->ranks;
    for (int i = 0; i < c->ranks; i++) {
        want(c->rank[i]->count == k.count);
        k.from[i] = c->rank[i]->from;
        k.factor[i] = c->rank[i]->factor;
        cudaEventRecord(c->rank[i]->came, c->rank[i]->stream);
        cudaStreamWaitEvent(first->stream, c->rank[i]->came, 0);
    }
    emulate_enqueue(first->stream, add, &k, sizeof k);
    cudaEventRecord(first->came, first->stream);
    for (int i = 0; i < c->ranks; i++) {
        k.to = c->rank[i]->to;
        cudaStreamWaitEvent(c->rank[i]->stream, first->came, 0);
        emulate_enqueue(c->rank[i]->stream, spread, &k, sizeof k);
        c->rank[i]->busy = false;
    }
    c->called = 0;
}

static ncclResult_t all_reduce(const void *from, void *to, size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream)
{
    struct clique *c = comm->clique;
    want(!comm->busy && !comm->finalized && type == ncclFloat && stream &&
         (op == ncclSum || comm->scale[op - FIRST] != 0));
    bool fails = ++fake_nccl.pieces == fake_nccl.fail_at;
    if (fails && !fake_nccl.late)
        return ncclInternalError;
    comm->failed = fails;
    comm->busy = true;
    comm->from = (float *)from;
    comm->to = to;
    comm->count = count;
    comm->stream = stream;
    comm->factor = op == ncclSum ? 1 : comm->scale[op - FIRST];
    if (++c->called == c->ranks)
        sum_all(c);
    return comm->busy ? ncclInProgress : ncclSuccess;
}

static const char *words_of(ncclResult_t result)
{
    return result == ncclInternalError ? "internal error"
           : result == ncclRemoteError ? "remote error"
                                       : "another error";
}

static const char *last_words(ncclComm_t comm)
{
    return comm ? "the link is down" : "no communicator";
}

bool nccl_load(struct nccl_calls *calls, char *why, size_t size)
{
    *calls =
        (struct nccl_calls){get_version, get_unique_id, init,       get_state, finalize,  destroy,
                            create,      drop,          all_reduce, words_of,  last_words};
    if (fake_nccl.missing)
        snprintf(why, size, "libnccl.so.2: no such file");
    return !fake_nccl.missing;
}
