/* DiNNO: consensus by the alternating direction method of multipliers. In each round neighbours
 * exchange weights, a dual vector adds up how they differ, and each worker takes some steps towards
 * the minimum of its own loss, its dual and a pull to the middle between neighbours.
 *
 *   rho <- growth x rho
 *   p_i <- p_i + rho sum over neighbours j of (w_i - w_j),   p_i = 0 at first
 *   B steps, from w_i, along   g_i(v) + p_i + 2 rho sum over j of (v - (w_i + w_j) / 2)
 *
 * A step is a mini-batch (--minibatches), by --optimizer, at the schedule's rate of the round. Both
 * sides of an edge use the same two vectors, so the duals add to 0. A graph's weights play no part.
 * The workers' mean is evaluated. Cost of a round: n floats to each neighbour. No gradient is
 * stale. Yu, Vincent, Schwager RA-L 2022, arXiv:2109.08665; their first code pulled to w_j instead
 * of the middle. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "gossip/gossip.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

struct dinno_options {
    double rho, growth;
    const char *primal;
};

#define AT(field) offsetof(struct dinno_options, field)

static const struct option_row rows[] = {
    {.name = "dinno-rho",
     .type = OPTION_REAL,
     .offset = AT(rho),
     .preset = "0.5",
     .placeholder = "RHO",
     .help = "how strongly neighbours are pulled together"},
    {.name = "dinno-growth",
     .type = OPTION_REAL,
     .flags = OPTION_ABOVE,
     .offset = AT(growth),
     .preset = "1.0003",
     .placeholder = "F",
     .help = "what rho is multiplied by each round",
     .most = 2},
    {.name = "dinno-optimizer",
     .type = OPTION_CHOICE,
     .offset = AT(primal),
     .preset = "reset",
     .choices = "reset|keep",
     .help = "does the optimizer of a round begin anew, or with what it remembers?"},
    {0}};

static const struct option_set option_set = {.title = "Scheme dinno",
                                             .owner = "--scheme dinno",
                                             .rows = rows,
                                             .size = sizeof(struct dinno_options)};

struct worker {
    struct node *n;
    struct gossip *neighbours;
    struct optimizer *optimizer;
    const struct dinno_options *options;
    float *sent, *older; /* sent before: neighbours may still read it */
    float *dual, *pull;  /* p, and p - rho sum of (w_i + w_j) */
    const float **list;  /* [degree + 1] */
    double *scale;       /* [degree + 1] */
};

/* to = from + own x w_i + others x the sum of the neighbours' */
static void add(struct worker *k, float *to, const float *from, double own, double others,
                const struct gossip_source *source, int sources)
{
    struct node *n = k->n;
    int count = 0;
    k->list[count] = from;
    k->scale[count++] = 1;
    k->list[count] = k->sent;
    k->scale[count++] = own;
    for (int i = 0; i < sources; i++) {
        if (source[i].worker == n->worker)
            continue;
        k->list[count] = source[i].vector;
        k->scale[count++] = others;
    }
    node_sum(n, to, k->list, k->scale, count, n->count);
}

static void begin_anew(struct worker *k)
{
    struct node *n = k->n;
    double began_s = node_clock(n);
    int vectors = (int)(optimizer_state_bytes(k->optimizer) / (int64_t)sizeof(float) / n->count);
    optimizer_forget(k->optimizer);
    node_count_work(n, began_s, (struct vector_work){n->count, {[PASS_SUM] = vectors}});
}

/* One round, with this rho. */
static void advance(struct worker *k, double rho)
{
    struct node *n = k->n;
    const struct gossip_source *source;
    float *w = k->older;
    k->older = k->sent;
    k->sent = n->w;
    gossip_begin(k->neighbours, n->version, k->sent, 1);
    n->w = w;
    node_copy(n, n->w, k->sent, n->count);
    node_weights_changed(n);
    int sources = gossip_take(k->neighbours, &source), degree = 0;
    for (int i = 0; i < sources; i++)
        degree += source[i].worker != n->worker;
    add(k, k->dual, k->dual, rho * degree, -rho, source, sources);
    add(k, k->pull, k->dual, -rho * degree, -rho, source, sources);
    gossip_end(k->neighbours);
    if (!strcmp(k->options->primal, "reset"))
        begin_anew(k);
    node_clear(n);
    for (int64_t step = 0; step < n->context->minibatches; step++) {
        n->finished = 0; /* the sum begins anew */
        node_minibatch(n);
        n->finished = step + 1;
        node_step_sum(n, k->optimizer, n->w, (const float *const[]){n->sum, n->w, k->pull},
                      (double[]){1, 2 * rho * degree, 1}, 3, n->lr);
        node_weights_changed(n);
    }
}

/* With another number of workers all duals begin anew: of those that are left they would not add
 * to 0. */
static void keep(struct worker *k)
{
    struct node *n = k->n;
    node_keep_vector(n, "worker.weights", &n->w, n->count);
    node_keep_vector(n, "worker.dual", &k->dual, n->count);
    node_keep_optimizer(n, k->optimizer, "worker.optimizer");
    if (node_workers_before(n))
        memset(k->dual, 0, (size_t)n->count * sizeof *k->dual);
    node_weights_changed(n);
}

static void work(struct node *n)
{
    size_t bytes = (size_t)n->count * sizeof(float);
    struct ps_client *ps = ps_client_open(n);
    struct worker k = {.n = n,
                       .neighbours = gossip_open(n, n->count),
                       .optimizer = node_optimizer(n, (struct range){0, n->count}),
                       .options = options_of(n->context->options, &option_set),
                       .sent = net_alloc(n->net, bytes),
                       .older = net_alloc(n->net, bytes),
                       .dual = node_vector(n, n->count),
                       .pull = node_vector(n, n->count)};
    size_t most = (size_t)topology_degree(gossip_graph_of(k.neighbours)) + 1;
    k.list = xcalloc(most, sizeof *k.list);
    k.scale = xcalloc(most, sizeof *k.scale);
    ps_pull(ps, n->w);
    bool training = ps_wait(ps);
    keep(&k);
    for (; training; training = ps_wait(ps)) {
        advance(&k, k.options->rho * pow(k.options->growth, (double)n->version + 1));
        ps_report(ps, n->w);
        ps_pull(ps, n->w);
    }
    gossip_close(k.neighbours);
    optimizer_close(k.optimizer);
    ps_client_close(ps);
    xfree(k.list);
    xfree(k.scale);
    node_vector_free(n, k.dual);
    node_vector_free(n, k.pull);
    net_free(n->net, k.sent);
    net_free(n->net, k.older);
}

static void check(const struct options *o, int workers)
{
    gossip_check(o, workers, GOSSIP_EDGES);
}

static void serve(struct node *n)
{
    gossip_serve(n, true);
}

const struct scheme scheme_dinno = {
    .name = "dinno",
    .rule = "consensus ADMM: some steps a round, pulled to neighbours and by a dual vector",
    .paper = "Yu, Vincent, Schwager 2022, arXiv:2109.08665",
    .deviations = "float32, not double; 8 steps a round by preset, not 2; the rate follows the "
                  "schedule; momentum and decay act on the whole gradient, dual and pull included; "
                  "the accuracy of the mean is judged (mean_top1 is the mean of the workers')",
    .flags = SYNC | BOUNDED | DECENTRAL | GOSSIP | OWN_WEIGHTS,
    .messages = "a vector along each edge, both ways",
    .floats = "2 n d, d neighbours",
    .staleness = "0",
    .options = &option_set,
    .state = (const char *const[]){"worker.weights", "worker.dual", "worker.optimizer", NULL},
    .check = check,
    .work = work,
    .serve = serve,
};
