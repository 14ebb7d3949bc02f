/* The exchange: receives are posted and vectors sent when it begins; each message names its step.
 *
 * A vector is lent to its targets until they have mixed it. Two exchanges may be lent at once, so a
 * worker with two vectors waits for its targets only where one is a whole step late. */
#include "gossip/gossip.h"

#include <math.h>

#include "base/alloc.h"
#include "base/check.h"
#include "gossip/choco.h"
#include "serialization/serialization.h"

enum { LENT = 2 }; /* exchanges whose vectors targets may still read */

struct lent {
    struct request **sent; /* [degree] */
    int *worker;           /* [degree] to whom */
    int count;
};

struct gossip {
    struct node *n;
    int64_t count;
    int degree;
    const struct topology *graph;
    struct topology *own;         /* the same, where it is not the process's */
    int64_t exchange, step;       /* how many began; the graph's step of the last one */
    bool under_way, taken;        /* an exchange; its sources are here */
    struct neighbour *list;       /* [degree] */
    struct gossip_source *source; /* [degree] of the exchange under way */
    struct request **come;        /* [degree]; of this worker NULL */
    int sources;
    struct lent lent[LENT];
    struct choco *choco; /* NULL: vectors are sent as they are */
    double gamma;
    const float **vector; /* [degree + 1] for sums */
    double *weight;       /* [degree + 1] */
};

struct gossip *gossip_open(struct node *n, int64_t count)
{
    struct gossip *g = xcalloc(1, sizeof *g);
    const struct run_context *c = n->context;
    CHECK(n->worker >= 0 && count > 0, "rank %d, worker %d, exchanges %lld floats", n->rank,
          n->worker, (long long)count);
    g->n = n;
    g->count = count;
    g->own = c->topology ? NULL : gossip_topology(c->options, c->workers);
    g->graph = c->topology ? c->topology : g->own;
    g->degree = topology_degree(g->graph);
    size_t degree = (size_t)g->degree;
    g->list = xcalloc(degree, sizeof *g->list);
    g->source = xcalloc(degree, sizeof *g->source);
    g->come = xcalloc(degree, sizeof *g->come);
    g->vector = xcalloc(degree + 1, sizeof *g->vector);
    g->weight = xcalloc(degree + 1, sizeof *g->weight);
    for (int k = 0; k < LENT; k++) {
        g->lent[k].sent = xcalloc(degree, sizeof *g->lent[k].sent);
        g->lent[k].worker = xcalloc(degree, sizeof *g->lent[k].worker);
    }
    return g;
}

struct gossip *gossip_open_packed(struct node *n, int64_t count, const struct codec *codec,
                                  const float *start)
{
    struct gossip *g = gossip_open(n, count);
    const struct gossip_options *o = options_of(n->context->options, &gossip_option_set);
    if (codec->in_place)
        return g;
    g->gamma = o->choco_gamma;
    int others = topology_sources(g->graph, 0, n->worker, g->list) - 1;
    g->choco = choco_open(n, count, codec, start, others);
    return g;
}

void gossip_close(struct gossip *g)
{
    CHECK(!g->under_way, "worker %d closes in the middle of an exchange", g->n->worker);
    gossip_flush(g);
    choco_close(g->choco);
    for (int k = 0; k < LENT; k++) {
        xfree(g->lent[k].sent);
        xfree(g->lent[k].worker);
    }
    if (g->own)
        topology_close(g->own);
    void *blocks[] = {g->list, g->source, g->come, g->vector, g->weight, g};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        xfree(blocks[i]);
}

static int rank_of(const struct gossip *g, int worker)
{
    return g->n->context->servers + worker;
}

/* Waits until the targets have read what they were lent. */
static void await_free(struct gossip *g, struct lent *lent)
{
    for (int k = 0; k < lent->count; k++) {
        struct request *list[2] = {NULL, lent->sent[k]};
        if (list[1])
            node_wait(g->n, list, 2, INFINITY, "a neighbour to read a vector",
                      rank_of(g, lent->worker[k]));
        net_release(g->n->net, lent->sent[k]);
        lent->sent[k] = NULL;
    }
    lent->count = 0;
}

void gossip_flush(struct gossip *g)
{
    for (int64_t k = g->exchange; k < g->exchange + LENT; k++) /* the older one first */
        await_free(g, &g->lent[k % LENT]);
}

static size_t bytes_of(const struct gossip *g) /* of a message */
{
    return g->choco ? choco_bytes(g->choco) : (size_t)g->count * sizeof(float);
}

static void post_receives(struct gossip *g, const float *vector, double number)
{
    g->sources = topology_sources(g->graph, g->step, g->n->worker, g->list);
    for (int k = 0; k < g->sources; k++) {
        int worker = g->list[k].node;
        bool own = worker == g->n->worker;
        g->source[k] = (struct gossip_source){.worker = worker, .weight = g->list[k].weight};
        if (own) {
            g->source[k].vector = vector;
            g->source[k].number = number;
        }
        g->come[k] = own ? NULL : net_recv(g->n->net, rank_of(g, worker), TAG_MIX, NULL, 0);
    }
}

/* Each begins with the targets after itself, so that not all send to the same one first. */
static void send(struct gossip *g, struct lent *lent, const void *message, double number)
{
    struct node *n = g->n;
    struct header head = {.tag = TAG_MIX, .version = g->step, .count = g->count};
    int targets = topology_targets(g->graph, g->step, n->worker, g->list), first = 0;
    header_pack(&head, number);
    while (first < targets && g->list[first].node < n->worker)
        first++;
    for (int k = 0; k < targets; k++) {
        int worker = g->list[(first + k) % targets].node;
        if (worker == n->worker)
            continue;
        n->counters.uncompressed_bytes += g->count * (int64_t)sizeof(float);
        n->counters.compressed_bytes += (int64_t)bytes_of(g);
        lent->worker[lent->count] = worker;
        lent->sent[lent->count++] =
            net_send(n->net, rank_of(g, worker), &head, message, bytes_of(g));
    }
}

void gossip_begin(struct gossip *g, int64_t step, const float *vector, double number)
{
    struct lent *lent = &g->lent[g->exchange % LENT];
    CHECK(!g->under_way, "worker %d begins an exchange in the middle of another", g->n->worker);
    await_free(g, lent);
    g->under_way = true;
    g->taken = false;
    g->step = step;
    post_receives(g, vector, number);
    send(g, lent, g->choco ? choco_pack(g->choco, vector) : vector, number);
    g->exchange++;
}

/* `other`: how many neighbours are before it. */
static void take_one(struct gossip *g, struct gossip_source *from, struct request *come, int other)
{
    struct request *list[2] = {NULL, come};
    int rank = rank_of(g, from->worker);
    node_wait(g->n, list, 2, INFINITY, "a neighbour's vector", rank);
    const struct header *m = net_header(come);
    CHECK(m->version == g->step && m->bytes == bytes_of(g),
          "rank %d sent %llu bytes of step %lld to its neighbours; %zu bytes of step %lld were "
          "expected",
          rank, (unsigned long long)m->bytes, (long long)m->version, bytes_of(g),
          (long long)g->step);
    header_unpack(m, from->number);
    CHECK(isfinite(from->number), "rank %d sent a vector with a number that is none", rank);
    from->vector = g->choco ? choco_take(g->choco, other, net_data(come), rank) : net_data(come);
}

int gossip_missing(struct gossip *g, int *worker)
{
    int missing = 0;
    for (int k = 0; k < g->sources; k++)
        if (g->come[k] && net_wait(g->n->net, &g->come[k], 1, 0) < 0)
            worker[missing++] = g->source[k].worker;
    return missing;
}

int gossip_targets(struct gossip *g, int64_t step, int *worker)
{
    int targets = topology_targets(g->graph, step, g->n->worker, g->list), others = 0;
    for (int k = 0; k < targets; k++)
        if (g->list[k].node != g->n->worker)
            worker[others++] = g->list[k].node;
    return others;
}

int gossip_take(struct gossip *g, const struct gossip_source **list)
{
    CHECK(g->under_way, "worker %d ends an exchange that has not begun", g->n->worker);
    for (int k = 0, other = 0; k < g->sources && !g->taken; k++)
        if (g->come[k])
            take_one(g, &g->source[k], g->come[k], other++);
    g->taken = true;
    *list = g->source;
    return g->sources;
}

void gossip_end(struct gossip *g)
{
    for (int k = 0; k < g->sources; k++) {
        net_release(g->n->net, g->come[k]);
        g->come[k] = NULL;
    }
    g->under_way = false;
}

static int list_vectors(struct gossip *g, const struct gossip_source *source)
{
    for (int k = 0; k < g->sources; k++) {
        g->vector[k] = source[k].vector;
        g->weight[k] = source[k].weight;
    }
    return g->sources;
}

/* x_i + gamma sum of W_ij (e_j - e_i) over the neighbours. */
static int list_estimates(struct gossip *g, const struct gossip_source *source)
{
    double others = 0;
    for (int k = 0; k < g->sources; k++) {
        bool own = source[k].worker == g->n->worker;
        g->vector[k] = source[k].vector;
        g->weight[k] = own ? 1 : g->gamma * source[k].weight;
        others += own ? 0 : source[k].weight;
    }
    g->vector[g->sources] = choco_own(g->choco);
    g->weight[g->sources] = -g->gamma * others;
    return g->sources + 1;
}

double gossip_mix(struct gossip *g, float *to)
{
    struct node *n = g->n;
    const struct gossip_source *source;
    int sources = gossip_take(g, &source);
    double number = 0;
    await_free(g, &g->lent[g->exchange % LENT]); /* the vector before this one */
    for (int k = 0; k < sources; k++)
        number += source[k].weight * source[k].number;
    int summed = g->choco ? list_estimates(g, source) : list_vectors(g, source);
    enum account before = node_account(n, ACCOUNT_TRANSFER);
    if (!node_forwards(n))
        vector_sum(to, g->vector, g->weight, summed, g->count, n->context->threads);
    node_advance_together(n, g->count, summed + 1);
    node_account(n, before);
    gossip_end(g);
    return number;
}

const struct topology *gossip_graph_of(const struct gossip *g)
{
    return g->graph;
}
