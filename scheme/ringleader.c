/* Ringleader ASGD: asynchronous SGD in which every worker weighs the same, in rounds of one update
 * for each worker.
 *
 *   w(v+1) = w(v) - lr (1 / W) sum_i G_i / b_i
 *
 * G_i: the sum of the gradients of the b_i mini-batches in worker i's entry of a table; a push has
 * B of them. Every push is answered at once with the newest weights: no worker waits, and
 * none is stopped. A round:
 *   1  pushes join the table, until every worker has an entry
 *   2  W updates: the push that filled the table makes the first; then the first push of each other
 *      worker joins the table and makes one. What an answered worker pushes meanwhile joins the
 *      table of the next round
 * So no gradient is dropped, and none is used that is older than 2 W - 2 updates. The histogram has
 * the staleness at a gradient's first use; its samples count when it comes, used at the end or not.
 * A worker that departs or is absent is waited for no more; what it gave stays in the round. What
 * an absent one had under way is dropped when it comes: it may be older than that.
 * Cost: as asgd; 2 W + 1 slices of floats at the server. The sum of the means is computed once a
 * round, and follows each push in five passes. Maranjyan, Richtarik 2025, arXiv:2509.22860. */
#include <string.h>

#include "base/alloc.h"
#include "scheme/gradient_table.h"
#include "scheme/scheme.h"

struct server {
    struct ps_server *ps;
    struct node *n;
    struct gradient_table table, next; /* of this round, of the next one */
    float *mean;                       /* [slice]: phase 2: (1 / m) sum of G_i / b_i */
    int64_t entries;                   /* phase 2: m; 0: phase 1 */
    bool *owes;                        /* [workers]: phase 2: it has made no update of the round */
    bool *departed;                    /* [workers]: it has, or is absent */
    int64_t owing;                     /* workers that owe one */
    int64_t rounds;                    /* that have ended: so often both tables changed places */
    const float **source;              /* [workers] */
    double *scale;                     /* [workers] */
};

/* mean += after (sum + g) - before sum, sum += g */
static void follow(float *mean, float *sum, const float *g, float before, float after,
                   struct range at)
{
#pragma omp simd
    for (int64_t i = at.from; i < at.to; i++) {
        float more = sum[i] + g[i];
        mean[i] += after * more - before * sum[i];
        sum[i] = more;
    }
}

static void add_and_follow(struct server *s, int worker, int64_t minibatches)
{
    struct gradient_table *t = &s->table;
    double m = (double)s->entries, count = (double)t->count[worker];
    const float *g = ps_vector(s->ps, worker);
    float before = (float)(1 / (m * count)), after = (float)(1 / (m * (count + minibatches)));
    double began_s = node_clock(s->n);
    if (!node_forwards(s->n))
        EACH_RANGE(t->floats, s->n->context->threads,
                   follow(s->mean, t->sum[worker], g, before, after, at));
    node_count_work(s->n, began_s, (struct vector_work){t->floats, {[PASS_SUM] = 5}});
    t->count[worker] += minibatches;
}

static void step(struct server *s)
{
    ps_step_vectors(s->ps, (const float *const[]){s->mean}, (const double[]){1}, 1);
}

static bool is_full(const struct server *s)
{
    for (int i = 0; i < s->n->context->workers; i++)
        if (!s->table.count[i] && !s->departed[i])
            return false;
    return gradient_table_entries(&s->table) > 0;
}

/* Phase 2. The first update is of this worker; -1: of none yet. */
static void begin_updates(struct server *s, int worker)
{
    s->entries = gradient_table_mean(&s->table, s->source, s->scale);
    node_sum(s->n, s->mean, s->source, s->scale, (int)s->entries, s->table.floats);
    for (int i = 0; i < s->n->context->workers; i++) {
        s->owes[i] = !s->departed[i] && i != worker;
        s->owing += s->owes[i];
    }
    if (worker >= 0)
        step(s);
}

static void swap_tables(struct server *s)
{
    struct gradient_table used = s->table;
    s->table = s->next;
    s->next = used;
}

static void end_round(struct server *s)
{
    swap_tables(s);
    gradient_table_clear(&s->next);
    s->entries = 0;
    s->rounds++;
}

/* A checkpoint is cut at an update: what follows it in take() is done now. */
static void keep(struct server *s)
{
    struct node *n = s->n;
    gradient_table_keep(&s->table, "server.table");
    gradient_table_keep(&s->next, "server.next_table");
    node_keep(n, "server.mean", STATE_F32, s->mean, s->table.floats);
    node_keep(n, "server.mean/entries", STATE_I64, &s->entries, 1);
    node_keep(n, "server.owing", STATE_I64, &s->owing, 1);
    node_keep(n, "server.owing/who", STATE_U8, s->owes, n->context->workers);
    node_keep(n, "server.owing/rounds", STATE_I64, &s->rounds, 1);
    if (node_workers_before(n)) /* a round begins: both tables are empty */
        s->entries = s->owing = s->rounds = 0;
    if (s->rounds % 2)
        swap_tables(s);
    if (s->entries && !s->owing)
        end_round(s);
}

static void take_gradient(struct server *s, const struct push *a)
{
    int worker = a->worker;
    bool owes = s->owes[worker];
    if (owes)
        add_and_follow(s, worker, a->minibatches);
    else
        gradient_table_add(s->entries ? &s->next : &s->table, worker, ps_vector(s->ps, worker),
                           a->minibatches);
    s->owing -= owes;
    s->owes[worker] = false;
    ps_count(s->ps, worker, owes ? 0 : s->owing);
    if (owes)
        step(s);
}

static void take(struct server *s, struct push a)
{
    int first = a.departed || s->departed[a.worker] ? -1 : a.worker;
    s->departed[a.worker] = a.departed;
    if (first >= 0)
        take_gradient(s, &a);
    else
        ps_discard(s->ps, a.worker);
    s->owing -= s->owes[a.worker]; /* departed: nobody waits for it */
    s->owes[a.worker] = false;
    if (!s->entries && is_full(s))
        begin_updates(s, first);
    if (s->entries && !s->owing)
        end_round(s);
    if (a.departed)
        return;
    (s->n->version == a.version ? ps_reply_unchanged : ps_reply)(s->ps, a.worker);
}

static void serve(struct node *n)
{
    size_t workers = (size_t)n->context->workers;
    struct server s = {.ps = ps_server_open(n), .n = n};
    s.table = gradient_table_open(n, ps_slice(s.ps));
    s.next = gradient_table_open(n, ps_slice(s.ps));
    s.mean = node_vector(n, s.table.floats);
    s.owes = xcalloc(workers, sizeof *s.owes);
    s.departed = xcalloc(workers, sizeof *s.departed);
    s.source = xcalloc(workers, sizeof *s.source);
    s.scale = xcalloc(workers, sizeof *s.scale);
    keep(&s);
    n->races = true;
    ps_go_on_without(s.ps);
    ps_agree_on_order(s.ps);
    ps_reply_all(s.ps);
    for (const struct push *a; (a = ps_next(s.ps));)
        take(&s, *a);
    ps_server_close(s.ps);
    gradient_table_close(&s.table);
    gradient_table_close(&s.next);
    node_vector_free(n, s.mean);
    void *blocks[] = {s.owes, s.departed, s.source, s.scale};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        xfree(blocks[i]);
}

const struct scheme scheme_ringleader = {
    .name = "ringleader",
    .rule = "asgd along the mean of all workers' newest means: each weighs the same",
    .paper = "Maranjyan, Richtarik 2025, arXiv:2509.22860",
    .flags = REPLAYS | PUSHES | COMPRESSES | LOCKSTEP | SURVIVES,
    .messages = "a push, a pull",
    .floats = "2 n",
    .staleness = "at most 2 W - 2",
    .state = (const char *const[]){"server.table", "server.next_table", "server.mean",
                                   "server.owing", NULL},
    .work = ps_work,
    .serve = serve,
};
