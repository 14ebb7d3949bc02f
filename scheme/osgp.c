/* Overlap SGP: stochastic gradient push whose messages are on their way while tau batches are
 * computed.
 *
 *   y_i = x_i - lr g_i(z_i), each step. Every tau steps: it takes what its sources sent tau steps
 *   before, y_i += sum over sources j of W_ij y_j', w_i += sum of W_ij w_j'; then it sends its y_i
 *   and w_i, and goes on with what is left to it: x_i = W_ii y_i, w_i = W_ii w_i.   z_i = x_i / w_i
 *
 * Parts that are under way belong to nobody: the sums of x and w over workers and messages stay as
 * they are. Without the weights w a worker would take its part for the whole (the paper's biased
 * variant). The workers' z are evaluated, and their mean. Cost: n floats to each target every tau
 * steps, hidden behind tau batches. No gradient is stale; what is mixed is tau steps old. Assran,
 * Loizou, Ballas, Rabbat ICML 2019, arXiv:1811.10792, algorithm 2. */
#include "base/alloc.h"
#include "base/check.h"
#include "scheme/push_sum.h"
#include "scheme/scheme.h"

struct osgp_options {
    int64_t overlap; /* steps */
};

#define AT(field) offsetof(struct osgp_options, field)

static const struct option_row rows[] = {
    {.name = "overlap-steps",
     .type = OPTION_INT,
     .offset = AT(overlap),
     .preset = "1",
     .placeholder = "TAU",
     .help = "steps for which vectors are on their way; they are sent every so many",
     .least = 1,
     .most = 1000000},
    {0}};

static const struct option_set option_set = {.title = "Scheme osgp",
                                             .owner = "--scheme osgp",
                                             .rows = rows,
                                             .size = sizeof(struct osgp_options)};

enum { VECTORS = 3 }; /* x; what was sent; what before that, which targets may still read */

struct worker {
    struct push_sum k;
    float *sent, *older;       /* the last vector that was sent; the one before */
    double sent_weight;        /* that vector's */
    int64_t sent_at, exchange; /* the version, -1: nothing is under way; exchanges so far */
    struct neighbour *targets; /* [degree] */
    const float **list;        /* [degree + 1] */
    double *scale;
};

static void begin(struct worker *o)
{
    gossip_begin(o->k.neighbours, o->exchange, o->sent, o->sent_weight);
}

/* The part of a vector that stays with the worker who sends it. */
static double own_part(const struct worker *o)
{
    int own = o->k.n->worker;
    const struct topology *graph = gossip_graph_of(o->k.neighbours);
    int count = topology_targets(graph, o->exchange, own, o->targets);
    for (int i = 0; i < count; i++)
        if (o->targets[i].node == own && o->targets[i].weight > 0)
            return o->targets[i].weight;
    CHECK(false, "worker %d keeps nothing of what it sends", own);
    return 0;
}

/* Sends x, and goes on with what is left of it. */
static void send(struct worker *o)
{
    struct push_sum *k = &o->k;
    struct node *n = k->n;
    const double part = own_part(o);
    float *unread = o->older;
    o->older = o->sent;
    o->sent = k->x;
    o->sent_weight = k->weight;
    o->sent_at = n->version;
    begin(o);
    k->x = unread;
    k->weight *= part;
    node_sum(n, k->x, (const float *const[]){o->sent}, &part, 1, n->count);
}

/* Adds the sources' parts of the exchange that is under way. */
static void take(struct worker *o)
{
    struct push_sum *k = &o->k;
    const struct gossip_source *source;
    int sources = gossip_take(k->neighbours, &source), count = 1;
    o->list[0] = k->x;
    o->scale[0] = 1;
    for (int i = 0; i < sources; i++) {
        if (source[i].worker == k->n->worker)
            continue;
        o->list[count] = source[i].vector;
        o->scale[count++] = source[i].weight;
        k->weight += source[i].weight * source[i].number;
    }
    node_sum(k->n, k->x, o->list, o->scale, count, k->n->count);
    gossip_end(k->neighbours);
    o->exchange++;
    o->sent_at = -1;
}

static void keep(struct worker *o)
{
    struct node *n = o->k.n;
    push_sum_keep(&o->k);
    node_keep_vector(n, "worker.sent", &o->sent, n->count);
    node_keep(n, "worker.sent/weight", STATE_F64, &o->sent_weight, 1);
    node_keep(n, "worker.sent/version", STATE_I64, &o->sent_at, 1);
    node_keep(n, "worker.sent/exchange", STATE_I64, &o->exchange, 1);
    if (node_workers_before(n)) {
        o->sent_at = -1;
        o->exchange = 0;
    }
}

static void work(struct node *n)
{
    const struct osgp_options *options = options_of(n->context->options, &option_set);
    struct worker o = {.sent_at = -1};
    float *vectors[VECTORS];
    bool training;
    o.k = push_sum_open(n, vectors, VECTORS, &training);
    o.sent = vectors[1];
    o.older = vectors[2];
    size_t degree = (size_t)topology_degree(gossip_graph_of(o.k.neighbours));
    o.targets = xcalloc(degree, sizeof *o.targets);
    o.list = xcalloc(degree + 1, sizeof *o.list);
    o.scale = xcalloc(degree + 1, sizeof *o.scale);
    keep(&o);
    if (o.sent_at >= 0) /* a run that goes on: sent again */
        begin(&o);
    while (training) {
        push_sum_step(&o.k);
        if (o.sent_at >= 0 && n->version - o.sent_at >= options->overlap)
            take(&o);
        if (o.sent_at < 0)
            send(&o);
        training = push_sum_report(&o.k);
    }
    if (o.sent_at >= 0)
        take(&o);
    xfree(o.targets);
    xfree(o.list);
    xfree(o.scale);
    push_sum_close(&o.k, vectors, VECTORS);
}

static void check(const struct options *o, int workers)
{
    gossip_check(o, workers, GOSSIP_COLUMNS);
    gossip_check_kept(o, workers);
}

static void serve(struct node *n)
{
    gossip_serve(n, true);
}

const struct scheme scheme_osgp = {
    .name = "osgp",
    .rule = "sgp whose vectors are on their way while tau batches are computed",
    .paper = "Assran et al. 2019, arXiv:1811.10792",
    .deviations = "what is sent is taken exactly tau steps later, where it may come "
                  "sooner there; weight decay acts on x, not on z; momentum is each one's "
                  "own; " TOGETHER_DEVIATIONS,
    .flags = SYNC | BOUNDED | DECENTRAL | GOSSIP | OWN_WEIGHTS,
    .messages = "a vector along each edge / tau",
    .floats = "n / tau a source and a target",
    .staleness = "0",
    .options = &option_set,
    .state = (const char *const[]){"worker.weights", "worker.x", "worker.push_sum", "worker.sent",
                                   "worker.optimizer", NULL},
    .check = check,
    .work = work,
    .serve = serve,
};
