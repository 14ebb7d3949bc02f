#include "pairs/pairs.h"

#include <math.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"

enum { PAIR_LEAVES = 1 }; /* flag of TAG_PAIR, without a vector: this neighbour asks no more */

/* --- opening and closing --- */

void pairs_check(const struct options *o, int workers)
{
    const struct gossip_options *own = options_of(o, &gossip_option_set);
    struct topology *t = gossip_topology(o, workers);
    int8_t *side = xcalloc((size_t)workers, sizeof *side);
    int odd[2];
    bool directed = topology_is_directed(t), has_sides = directed || topology_sides(t, side, odd);
    xfree(side);
    topology_close(t);
    if (directed)
        fatal("--topology %s: edges go one way, and %s averages both ends of one; take %s",
              own->topology, o->scheme, workers % 2 ? "path" : "ring");
    if (!has_sides)
        fatal("--topology %s of %d workers is not bipartite: workers %d and %d are neighbours on "
              "one side, of which one would ask and the other answer; take --topology %s",
              own->topology, workers, odd[0], odd[1], workers % 2 ? "path" : "ring");
    gossip_check(o, workers, GOSSIP_EDGES);
}

/* The greater side is active; of two alike that without the first worker. */
static bool is_active(const struct pairs *p)
{
    int workers = topology_nodes(p->graph), odd[2], ones = 0;
    int8_t *side = xcalloc((size_t)workers, sizeof *side);
    CHECK(topology_sides(p->graph, side, odd), "the graph is not bipartite");
    for (int i = 0; i < workers; i++)
        ones += side[i];
    bool active = side[p->n->worker] == (2 * ones >= workers);
    xfree(side);
    return active && p->count;
}

static size_t bytes_of(const struct pairs *p)
{
    return (size_t)p->n->count * sizeof(float);
}

/* What is to wake this rank in a delay. */
static void set_wake(struct pairs *p)
{
    bool all_lent = true;
    for (int i = 0; i < PAIRS_ANSWERS; i++) {
        p->wake[i] = p->lent[i];
        all_lent &= p->lent[i] != NULL;
    }
    if (all_lent)
        return;
    p->wake[0] = p->active ? p->answer : p->asked;
    for (int i = 1; i < PAIRS_ANSWERS; i++)
        p->wake[i] = NULL;
}

static struct request *post(struct pairs *p)
{
    return p->present ? net_recv(p->n->net, NET_ANY, TAG_PAIR, NULL, 0) : NULL;
}

static enum node_flow hear(void *self);

struct pairs *pairs_open(struct node *n)
{
    struct pairs *p = xcalloc(1, sizeof *p);
    const struct run_context *c = n->context;
    p->n = n;
    p->own = c->topology ? NULL : gossip_topology(c->options, c->workers);
    p->graph = c->topology ? c->topology : p->own;
    p->step = xcalloc((size_t)topology_degree(p->graph), sizeof *p->step);
    p->neighbours = xcalloc((size_t)topology_nodes(p->graph), sizeof *p->neighbours);
    p->count = topology_neighbours(p->graph, n->worker, p->neighbours);
    p->left = xcalloc((size_t)p->count + 1, sizeof *p->left);
    p->active = is_active(p);
    p->x = p->vector[0] = n->w;
    for (int i = 1; i < (p->active ? PAIRS_VECTORS : 2); i++)
        p->vector[i] = net_alloc(n->net, bytes_of(p));
    for (int i = 0; i < PAIRS_ANSWERS && !p->active; i++)
        p->lent_vector[i] = net_alloc(n->net, bytes_of(p));
    p->present = p->active ? 0 : p->count;
    p->asked = post(p);
    set_wake(p);
    node_set_interrupt(n, hear, p, (struct request *const *[]){&p->wake[0], &p->wake[1]},
                       NODE_WAKES);
    return p;
}

/* --- an average --- */

/* A vector that nobody reads. */
static float *unused(const struct pairs *p)
{
    for (int i = 0; i < PAIRS_VECTORS; i++)
        if (p->vector[i] && p->vector[i] != p->n->w && p->vector[i] != p->x &&
            p->vector[i] != p->sent)
            return p->vector[i];
    CHECK(false, "worker %d has no vector left", p->n->worker);
    return NULL;
}

/* This worker's weights move by average - sent; where they are what was sent they are the average
 * now. */
static void take(struct pairs *p, const float *average, const float *sent)
{
    struct node *n = p->n;
    float *to = p->computing && p->x == n->w ? unused(p) : p->x;
    if (sent == p->x)
        node_copy(n, to, average, n->count);
    else
        node_sum(n, to, (const float *const[]){p->x, average, sent}, (double[]){1, 1, -1}, 3,
                 n->count);
    p->x = to;
    if (!p->computing)
        node_weights_changed(n);
    node_show(n, p->x);
    p->averages++;
}

static const float *vector_of(const struct pairs *p, const struct request *come)
{
    const struct header *m = net_header(come);
    CHECK(m->bytes == bytes_of(p), "rank %d sent %llu bytes to a neighbour; %zu were expected",
          m->from, (unsigned long long)m->bytes, bytes_of(p));
    return net_data(come);
}

static void release_read(struct pairs *p)
{
    struct net *net = p->n->net;
    for (int i = 0; i < PAIRS_ANSWERS; i++)
        if (p->lent[i] && net_wait(net, &p->lent[i], 1, 0) == 0) {
            net_release(net, p->lent[i]);
            p->lent[i] = NULL;
        }
}

/* Whether this rank is a neighbour that has left. */
static bool *left_of(const struct pairs *p, int rank)
{
    for (int i = 0; i < p->count; i++)
        if (p->n->context->servers + p->neighbours[i] == rank)
            return &p->left[i];
    CHECK(false, "rank %d asks for an average, and is no neighbour", rank);
    return NULL;
}

/* A neighbour has asked, or leaves. */
static void answer(struct pairs *p, int free)
{
    struct node *n = p->n;
    struct header head = *net_header(p->asked);
    bool *left = left_of(p, head.from);
    CHECK(!*left, "rank %d asks for an average, and has left", head.from);
    if (head.flags & PAIR_LEAVES) {
        *left = true;
        p->present--;
    } else {
        const float *both[] = {vector_of(p, p->asked), p->x};
        float *average = p->lent_vector[free];
        node_sum(n, average, both, (const double[]){0.5, 0.5}, 2, n->count);
        p->lent[free] = net_send(n->net, head.from,
                                 &(struct header){.tag = TAG_PAIRED, .version = head.version},
                                 average, bytes_of(p));
        n->counters.uncompressed_bytes += (int64_t)bytes_of(p);
        n->counters.compressed_bytes += (int64_t)bytes_of(p);
        take(p, average, p->x);
    }
    net_release(n->net, p->asked);
    p->asked = post(p);
}

/* Answers all that have asked, as far as there is memory for answers. */
static void answer_all(struct pairs *p)
{
    for (;;) {
        int free = 0;
        release_read(p);
        while (free < PAIRS_ANSWERS && p->lent[free])
            free++;
        if (free == PAIRS_ANSWERS || !p->asked || net_wait(p->n->net, &p->asked, 1, 0) != 0)
            return;
        answer(p, free);
    }
}

/* The answer is here, so what was sent was read. */
static void end(struct pairs *p)
{
    struct node *n = p->n;
    struct request *list[] = {NULL, p->sending};
    const float *sent = p->sent;
    node_wait(n, list, 2, INFINITY, "a neighbour to read weights", p->partner);
    net_release(n->net, p->sending);
    p->sent = NULL;
    CHECK(net_header(p->answer)->version == p->step_sent,
          "rank %d answers step %lld; step %lld was asked", p->partner,
          (long long)net_header(p->answer)->version, (long long)p->step_sent);
    take(p, vector_of(p, p->answer), sent);
    net_release(n->net, p->answer);
    p->answer = NULL;
}

static enum node_flow hear(void *self)
{
    struct pairs *p = self;
    if (p->answer && net_wait(p->n->net, &p->answer, 1, 0) == 0)
        end(p);
    answer_all(p);
    set_wake(p);
    return NODE_CONTINUE;
}

/* --- a worker --- */

void pairs_begin(struct pairs *p, int64_t step)
{
    struct node *n = p->n;
    int others = 0;
    if (!p->active || p->sent)
        return;
    int sources = topology_sources(p->graph, step, n->worker, p->step);
    for (int i = 0; i < sources; i++)
        if (p->step[i].node != n->worker)
            p->step[others++] = p->step[i];
    if (!others)
        return;
    struct random draw = random_at(RANDOM_PARTNER, (uint64_t)n->context->options->seed,
                                   (uint64_t)n->worker, (uint64_t)step, 0);
    p->partner = n->context->servers + p->step[random_below(&draw, (uint32_t)others)].node;
    p->answer = net_recv(n->net, p->partner, TAG_PAIRED, NULL, 0);
    p->sent = p->x;
    p->step_sent = step;
    p->sending = net_send(n->net, p->partner, &(struct header){.tag = TAG_PAIR, .version = step},
                          p->sent, bytes_of(p));
    n->counters.uncompressed_bytes += (int64_t)bytes_of(p);
    n->counters.compressed_bytes += (int64_t)bytes_of(p);
    set_wake(p);
}

void pairs_batch(struct pairs *p)
{
    struct node *n = p->n;
    p->computing = true;
    node_batch(n);
    p->computing = false;
    if (p->x == p->sent) { /* the partner still reads it */
        float *copy = unused(p);
        node_copy(n, copy, p->x, n->count);
        p->x = copy;
    }
    if (p->x == n->w)
        return;
    n->w = p->x;
    node_weights_changed(n);
}

void pairs_await(struct pairs *p, struct request *const *request, const char *what, int rank)
{
    bool there = false;
    while (!there) {
        hear(p);
        struct request *list[2 + NODE_WAKES] = {NULL, *request};
        for (int i = 0; i < NODE_WAKES; i++)
            list[2 + i] = p->wake[i];
        there = !*request || node_wait(p->n, list, 2 + NODE_WAKES, INFINITY, what, rank) == 1;
    }
}

void pairs_close(struct pairs *p)
{
    struct node *n = p->n;
    const struct header leaves = {.tag = TAG_PAIR, .flags = PAIR_LEAVES};
    struct request *last[] = {NULL, p->answer};
    if (p->sent) {
        node_wait(n, last, 2, INFINITY, "a neighbour's average", p->partner);
        end(p);
    }
    for (int i = 0; i < p->count && p->active; i++)
        net_send(n->net, n->context->servers + p->neighbours[i], &leaves, NULL, 0);
    while (p->present) {
        hear(p);
        struct request *list[1 + NODE_WAKES] = {NULL};
        for (int i = 0; i < NODE_WAKES; i++)
            list[1 + i] = p->wake[i];
        if (p->present)
            node_wait(n, list, 1 + NODE_WAKES, INFINITY, "neighbours to end", NET_ANY);
    }
    for (int i = 0; i < PAIRS_ANSWERS; i++) {
        struct request *list[] = {NULL, p->lent[i]};
        if (p->lent[i])
            node_wait(n, list, 2, INFINITY, "a neighbour to read an average", NET_ANY);
        net_release(n->net, p->lent[i]);
        net_free(n->net, p->lent_vector[i]);
    }
    node_set_interrupt(n, NULL, NULL, NULL, 0);
    for (int i = 0; i < PAIRS_VECTORS; i++)
        if (p->vector[i] != n->w)
            net_free(n->net, p->vector[i]);
    if (p->own)
        topology_close(p->own);
    void *blocks[] = {p->step, p->neighbours, p->left, p};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        xfree(blocks[i]);
}
