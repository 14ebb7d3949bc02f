/* The weights that an evaluation judges, whole at every rank.
 *
 * Servers send their slices, workers their own weights, if the set has use for them. With one
 * server its weights are read where they lie, with several they are gathered; workers' are read
 * where they lie. Where all nodes are in one process rank 0 reads all of them so. Cost within a
 * host: the sum for the mean. To each rank of another host: n floats for the servers and n for each
 * worker. */
#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "node/private.h"

void weights_set_take(struct node *n, const struct header *call)
{
    struct weights_set *set = &n->own->evaluator.set;
    uint8_t flag[sizeof *set];
    header_unpack(call, flag);
    for (size_t i = 0; i < sizeof flag; i++)
        CHECK(flag[i] <= 1, "rank %d calls to an evaluation of weights that there are not",
              call->from);
    bool average = set->average;
    memcpy(set, flag, sizeof flag);
    CHECK(set->average == average, "rank %d calls to an evaluation %s --ema", call->from,
          average ? "without" : "of");
}

static void open_whole(const struct node *n, struct whole *whole)
{
    if (n->context->servers > 1 && n->net->ranks > 1)
        whole->gathered = xcalloc((size_t)n->count, sizeof *whole->gathered);
}

static void close_whole(struct whole *whole)
{
    xfree(whole->sent);
    xfree(whole->gathered);
}

void weights_set_open(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    open_whole(n, &e->servers);
    if (e->set.average)
        open_whole(n, &e->averages);
}

void weights_set_close(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    close_whole(&e->servers);
    close_whole(&e->averages);
    xfree(e->mean);
    xfree(e->workers);
    xfree(e->borrowed);
    xfree(e->scale);
}

static bool wants_workers(const struct evaluator *e)
{
    return e->set.mean || e->set.workers;
}

static size_t slice_bytes(const struct node *n, int server)
{
    struct range s = node_slice(n, server);
    return (size_t)(s.to - s.from) * sizeof(float);
}

const float *weights_shown(const struct node *n)
{
    const float *shown = n->own->evaluator.shown;
    return shown ? shown : n->w;
}

/* A worker's own weights go to all others. */
static void send_own(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    const struct header header = {.tag = TAG_SLICE, .version = n->version};
    if (n->worker >= 0 && n->net->ranks > 1)
        evaluation_send(n, &e->sent, &header, weights_shown(n), (size_t)n->count * sizeof(float));
}

/* The first worker's vector goes to all others. */
static void send_first(struct node *n, struct whole *whole, const float *vector)
{
    const struct header header = {.tag = TAG_SLICE, .version = n->version};
    whole->w = vector;
    if (n->worker == 0)
        evaluation_send(n, &whole->sent, &header, vector, (size_t)n->count * sizeof *vector);
}

/* Rank 0 has a copy, in `own`. */
static void copy_first(struct node *n, struct whole *whole, float *own)
{
    vector_copy(own, whole->w, n->count, n->context->threads);
    node_weights_changed(n);
    whole->w = own;
}

static void take_first(struct node *n, struct whole *whole, float *own)
{
    size_t bytes = (size_t)n->count * sizeof *own;
    if (n->worker == 0)
        return;
    whole->borrowed = evaluation_receive(n, n->context->servers, TAG_SLICE, NULL, bytes);
    whole->w = net_data(whole->borrowed);
    if (n->rank == 0)
        copy_first(n, whole, own);
}

/* A server's slice of `own` goes to all others. */
static void send_slice(struct node *n, struct whole *whole, const float *own)
{
    const struct header header = {.tag = TAG_SLICE, .version = n->version};
    if (n->rank < n->context->servers)
        evaluation_send(n, &whole->sent, &header, own + node_slice(n, n->rank).from,
                        slice_bytes(n, n->rank));
}

/* Of all servers; a server's slice is in `own`. */
static void gather_slices(struct node *n, struct whole *whole, float *own)
{
    int servers = n->context->servers;
    whole->w = whole->gathered ? whole->gathered : own;
    for (int s = 0; s < servers && n->net->ranks > 1; s++) {
        int64_t from = node_slice(n, s).from;
        float *into = whole->gathered ? whole->gathered + from : NULL;
        if (s == n->rank && into)
            memcpy(into, own + from, slice_bytes(n, s));
        if (s == n->rank)
            continue;
        struct request *come = evaluation_receive(n, s, TAG_SLICE, into, slice_bytes(n, s));
        if (into) {
            net_release(n->net, come);
        } else {
            whole->borrowed = come;
            whole->w = net_data(come);
        }
    }
}

static void release_slices(struct node *n, struct whole *whole)
{
    net_release(n->net, whole->borrowed);
    whole->borrowed = NULL;
    evaluation_release(n, whole->sent);
}

/* The first time, since few schemes want it. */
static void open_workers(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    size_t workers = (size_t)n->context->workers;
    e->workers = xcalloc(workers, sizeof *e->workers);
    e->borrowed = xcalloc(workers, sizeof *e->borrowed);
    e->scale = xcalloc(workers, sizeof *e->scale);
    e->mean = xcalloc((size_t)n->count, sizeof *e->mean);
    for (size_t k = 0; k < workers; k++)
        e->scale[k] = 1.0 / (double)workers;
}

/* Where no server has weights it is what rank 0 has. */
static void take_mean(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    if (!e->set.mean)
        return;
    vector_sum(e->mean, e->workers, e->scale, n->context->workers, n->count, n->context->threads);
    if (n->rank == 0 && !e->set.server) {
        vector_copy(n->w, e->mean, n->count, n->context->threads);
        node_weights_changed(n);
    }
}

static void borrow_workers(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    size_t bytes = (size_t)n->count * sizeof(float);
    if (!e->workers)
        open_workers(n);
    for (int k = 0; k < n->context->workers; k++) {
        int rank = n->context->servers + k;
        e->workers[k] = weights_shown(n);
        if (rank == n->rank)
            continue;
        e->borrowed[k] = evaluation_receive(n, rank, TAG_SLICE, NULL, bytes);
        e->workers[k] = net_data(e->borrowed[k]);
    }
    take_mean(n);
}

static float *average_of(const struct node *n)
{
    return n->own->evaluator.average.w;
}

static float *weights_of(const struct node *n)
{
    return n->w;
}

/* What the servers have, where it lies; slices are at their places in vectors of all weights. */
static void look_at_servers(struct node *n, struct whole *whole,
                            float *(*vector_of)(const struct node *server))
{
    whole->w = whole->gathered ? whole->gathered : vector_of(n);
    for (int s = 0; s < n->context->servers && whole->gathered; s++) {
        int64_t from = node_slice(n, s).from;
        memcpy(whole->gathered + from, vector_of(n->context->nodes[s]) + from, slice_bytes(n, s));
    }
}

static void look_at_workers(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    if (!e->workers)
        open_workers(n);
    for (int k = 0; k < n->context->workers; k++)
        e->workers[k] = weights_shown(n->context->nodes[n->context->servers + k]);
    take_mean(n);
}

static void look_at_first(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    const struct node *first = n->context->nodes[n->context->servers];
    e->servers.w = weights_shown(first);
    copy_first(n, &e->servers, n->w);
    e->averages.w = average_of(first);
    if (e->set.average)
        copy_first(n, &e->averages, e->average.w);
}

void weights_set_look(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    if (e->set.first)
        look_at_first(n);
    if (e->set.average && !e->set.first)
        look_at_servers(n, &e->averages, average_of);
    if (e->set.server && !e->set.first)
        look_at_servers(n, &e->servers, weights_of);
    if (wants_workers(e))
        look_at_workers(n);
}

/* Of the servers, or of the first worker in their place. Messages of one rank keep their order:
 * averages come before weights. */
static void exchange_servers(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    void (*send)(struct node *, struct whole *, const float *) =
        e->set.first ? send_first : send_slice;
    void (*gather)(struct node *, struct whole *, float *) =
        e->set.first ? take_first : gather_slices;
    if (e->set.average)
        send(n, &e->averages, e->average.w);
    if (e->set.server)
        send(n, &e->servers, e->set.first ? weights_shown(n) : n->w);
    if (e->set.average)
        gather(n, &e->averages, e->average.w);
    if (e->set.server)
        gather(n, &e->servers, n->w);
}

void weights_set_exchange(struct node *n)
{
    const struct evaluator *e = &n->own->evaluator;
    exchange_servers(n);
    if (wants_workers(e))
        send_own(n);
    if (wants_workers(e))
        borrow_workers(n);
}

bool weights_set_next(const struct node *n, struct candidate *c)
{
    const struct evaluator *e = &n->own->evaluator;
    int number = c->number;
    if (e->set.average && number-- == 0) {
        snprintf(c->name, sizeof c->name, "ema");
        c->w = e->averages.w;
        return true;
    }
    if (e->set.mean && number-- == 0) {
        snprintf(c->name, sizeof c->name, "mean");
        c->w = e->mean;
        return true;
    }
    if (e->set.server && number-- == 0) {
        snprintf(c->name, sizeof c->name, "server");
        c->w = e->servers.w;
        return true;
    }
    if (!e->set.workers || number == n->context->workers)
        return false;
    c->own = true;
    snprintf(c->name, sizeof c->name, "worker %d", number);
    c->w = e->workers[number];
    return true;
}

void weights_set_release(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    release_slices(n, &e->averages);
    release_slices(n, &e->servers);
    for (int k = 0; e->workers && k < n->context->workers; k++) {
        net_release(n->net, e->borrowed[k]);
        e->borrowed[k] = NULL;
    }
    evaluation_release(n, e->sent);
}

void node_set_evaluated(struct node *n, struct weights_set set)
{
    assert(n->rank == 0 && (set.mean || set.server || set.workers));
    assert(n->net->ranks > 1 || (set.server && !set.mean && !set.workers));
    set.average = n->own->evaluator.set.average;
    n->own->evaluator.set = set;
}

void node_evaluate_first(struct node *n)
{
    struct weights_set *set = &n->own->evaluator.set;
    set->first = set->server && !set->mean && !set->workers;
    n->own->keeping.elsewhere = true;
    n->own->evaluator.average.is_shown = set->first;
}
