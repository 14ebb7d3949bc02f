/* What a run goes on with that is resumed from a checkpoint.
 *
 * Every rank finds what it had kept. Over MPI it lies in a file for each rank. In the simulated
 * world, where a run is gone through again (node/course.h), it is needed for another number of
 * workers alone: then it lies in rank 0's file, by "rank N/NAME".
 *
 * Another number of workers: what is there under a name, of the same type and length, is taken; the
 * rest begins anew. So worker i goes on as worker i; what those had that have left is dropped; a
 * new one begins as at the beginning. Names that begin with "workers." are the same at all workers:
 * a new one has the first one's, too. The data are cut anew. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "node/private.h"

static const struct checkpoint *past(const struct node *n)
{
    return n->context->checkpoints.resume;
}

int node_workers_before(const struct node *n)
{
    const char *workers = past(n) ? checkpoint_field(past(n), "workers") : NULL;
    int before = workers ? atoi(workers) : 0;
    return before != n->context->workers ? before : 0;
}

static void name_of(const struct node *n, int rank, const char *name, char whole[STATE_NAME])
{
    int length = n->context->nodes ? snprintf(whole, STATE_NAME, "rank %d/%s", rank, name)
                                   : snprintf(whole, STATE_NAME, "%s", name);
    assert(length < STATE_NAME);
    (void)length;
}

static struct kept state_of(const struct node *n, int rank, const char *name)
{
    char whole[STATE_NAME];
    name_of(n, rank, name, whole);
    return checkpoint_state(past(n), n->context->nodes ? 0 : rank, whole);
}

static bool load(const struct node *n, int rank, const struct kept *to, char *why, size_t why_size)
{
    struct kept named = *to;
    name_of(n, rank, to->name, named.name);
    return checkpoint_load(past(n), n->context->nodes ? 0 : rank, &named, why, why_size);
}

static bool is_of_all(const char *name)
{
    return !strncmp(name, "workers.", 8) || !strncmp(name, "average", 7);
}

void resume_fill(struct node *n, const struct kept *to)
{
    char why[200];
    if (!past(n))
        return;
    bool resized = node_workers_before(n);
    int servers = n->context->servers,
        rank = resized && n->rank >= servers && is_of_all(to->name) ? servers : n->rank;
    const struct kept there = state_of(n, rank, to->name);
    if (resized && (!there.memory || there.type != to->type || there.count != to->count))
        return;
    if (!load(n, rank, to, why, sizeof why))
        fatal("--resume %s: %s; it is of another configuration", checkpoint_folder(past(n)), why);
}

/* Rows of those that are there before and now. */
static void fill_by_worker(struct node *n, const char *name, enum state_type type, void *memory,
                           int64_t each)
{
    const struct kept there = state_of(n, n->rank, name);
    int before = node_workers_before(n), now = n->context->workers,
        both = before < now ? before : now;
    if (there.memory && there.type == type && there.count == before * each)
        memcpy(memory, there.memory, (size_t)(both * each) * state_size(type));
}

void node_keep_by_worker(struct node *n, const char *name, enum state_type type, void *memory,
                         int64_t each)
{
    node_keep(n, name, type, memory, n->context->workers * each);
    if (node_workers_before(n))
        fill_by_worker(n, name, type, memory, each);
}

bool node_kept(const struct node *n, int rank, const char *name, enum state_type type, void *to,
               int64_t count)
{
    char why[200];
    struct kept k = {.type = type, .memory = to, .count = count};
    snprintf(k.name, sizeof k.name, "%s", name);
    return past(n) && load(n, rank, &k, why, sizeof why);
}

/* The sum, where that is of workers that have all given alike. */
static int64_t equal_place(const struct kept *k, int64_t workers)
{
    const int64_t *minibatches = k->memory;
    int64_t all = 0;
    for (int64_t i = 0; i < k->count; i++)
        all += minibatches[i];
    return (all + workers - 1) / workers;
}

int64_t node_kept_place(const struct node *n, const char *name, int worker)
{
    int64_t workers = n->context->workers;
    if (!past(n))
        return -1;
    bool resized = node_workers_before(n);
    struct kept k = state_of(n, 0, name);
    CHECK(k.type == STATE_I64 && k.memory && (resized || k.count == workers),
          "%s: no places of workers", checkpoint_folder(past(n)));
    return resized ? equal_place(&k, workers) : ((const int64_t *)k.memory)[worker];
}

/* Where only workers have weights, each its own: their mean, by the sum that evaluations take. On
 * the simulated network it was kept as "weights". */
static bool take_mean(struct node *n)
{
    const struct checkpoint *c = past(n);
    int servers = n->context->servers,
        workers = node_workers_before(n) ? node_workers_before(n) : n->context->workers;
    if (n->context->nodes || n->net->ranks == 1 || checkpoint_state(c, 0, "weights").memory)
        return false;
    const float **own = xcalloc((size_t)workers, sizeof *own);
    double *scale = xcalloc((size_t)workers, sizeof *scale);
    bool all = true;
    for (int i = 0; i < workers && all; i++) {
        struct kept k = checkpoint_state(c, servers + i, "worker.weights");
        all = k.memory && k.type == STATE_F32 && k.count == n->count;
        own[i] = k.memory;
        scale[i] = 1.0 / workers;
    }
    if (all)
        vector_sum(n->w, own, scale, workers, n->count, n->context->threads);
    xfree(own);
    xfree(scale);
    return all;
}

/* The weights of the whole, at every server: they go to the workers as the first ones would. */
void resume_weights(struct node *n)
{
    if (past(n) && !take_mean(n) && !checkpoint_load_parts(past(n), "weights", n->w, n->count))
        fatal("--resume %s: its weights are not the %lld of this network",
              checkpoint_folder(past(n)), (long long)n->count);
}

void node_restore_weights(struct node *n)
{
    if (!past(n))
        return;
    resume_weights(n);
    node_weights_changed(n);
}
