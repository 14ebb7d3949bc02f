/* The weights that an evaluation judges, whole at every rank.
 *
 * Servers send their slices, workers their own weights, if the set has use for them. With one
 * server its weights are read where they lie, with several they are gathered; workers' are read
 * where they lie. Cost within a host: the sum for the mean. To each rank of another host: n floats
 * for the servers and n for each worker. */
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "node/private.h"

void weights_set_open(struct node *n)
{
    if (n->context->servers > 1 && n->net->ranks > 1)
        n->own->evaluator.gathered = xcalloc((size_t)n->count, sizeof(float));
}

void weights_set_close(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    xfree(e->gathered);
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

/* This rank's part goes to all others: a server's slice, a worker's own weights. */
static void send_own(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    const struct header header = {.tag = TAG_SLICE, .version = n->version};
    if (n->worker < 0 && e->set.server)
        evaluation_send(n, e->sent, &header, n->w + node_slice(n, n->rank).from,
                        slice_bytes(n, n->rank));
    if (n->worker >= 0 && wants_workers(e))
        evaluation_send(n, e->sent, &header, n->w, (size_t)n->count * sizeof(float));
}

/* The servers' weights, whole. */
static void gather_slices(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    int servers = n->context->servers;
    e->server = e->gathered ? e->gathered : n->w;
    for (int s = 0; s < servers && n->net->ranks > 1; s++) {
        int64_t from = node_slice(n, s).from;
        float *into = e->gathered ? e->gathered + from : NULL;
        if (s == n->rank && into)
            memcpy(into, n->w + from, slice_bytes(n, s));
        if (s == n->rank)
            continue;
        struct request *come = evaluation_receive(n, s, TAG_SLICE, into, slice_bytes(n, s));
        if (into) {
            net_release(n->net, come);
        } else {
            e->borrowed_server = come;
            e->server = net_data(come);
        }
    }
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

static void borrow_workers(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    size_t bytes = (size_t)n->count * sizeof(float);
    if (!e->workers)
        open_workers(n);
    for (int k = 0; k < n->context->workers; k++) {
        int rank = n->context->servers + k;
        e->workers[k] = n->w;
        if (rank == n->rank)
            continue;
        e->borrowed[k] = evaluation_receive(n, rank, TAG_SLICE, NULL, 0);
        e->workers[k] = net_data(e->borrowed[k]);
        CHECK(net_header(e->borrowed[k])->bytes == bytes,
              "weights of rank %d: %zu bytes expected, %llu came", rank, bytes,
              (unsigned long long)net_header(e->borrowed[k])->bytes);
    }
    if (e->set.mean)
        vector_sum(e->mean, e->workers, e->scale, n->context->workers, n->count,
                   n->context->threads);
}

void weights_set_exchange(struct node *n)
{
    const struct evaluator *e = &n->own->evaluator;
    send_own(n);
    if (e->set.server)
        gather_slices(n);
    if (wants_workers(e))
        borrow_workers(n);
}

bool weights_set_next(const struct node *n, struct candidate *c)
{
    const struct evaluator *e = &n->own->evaluator;
    int number = c->number;
    if (e->set.mean && number-- == 0) {
        snprintf(c->name, sizeof c->name, "mean");
        c->w = e->mean;
        return true;
    }
    if (e->set.server && number-- == 0) {
        snprintf(c->name, sizeof c->name, "server");
        c->w = e->server;
        return true;
    }
    if (!e->set.workers || number == n->context->workers)
        return false;
    snprintf(c->name, sizeof c->name, "worker %d", number);
    c->w = e->workers[number];
    return true;
}

void weights_set_release(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    net_release(n->net, e->borrowed_server);
    e->borrowed_server = NULL;
    for (int k = 0; e->workers && k < n->context->workers; k++) {
        net_release(n->net, e->borrowed[k]);
        e->borrowed[k] = NULL;
    }
    evaluation_release(n, e->sent);
}
