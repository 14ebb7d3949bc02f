/* Synchronous SGD by a quorum: an update takes the gradients of the first K workers and of those
 * who come within a grace period after the K-th.
 *
 *   w(v+1) = w(v) - lr (1 / N B) sum of the N gradients at w(v) that came in time,   K <= N <= W
 *
 * K: --quorum, by default all workers but one; the period: --grace. Who comes later is dropped and
 * gets the newest weights at once. With --grace inf the scheme is ssgd, with --grace 0 backup of
 * W - K workers, both bit for bit. Of several servers rank 0 decides who was in time. Cost as ssgd.
 * Staleness 0. The rule is that of Decoupled DiLoCo, 2026, arXiv:2604.21428, whose learners push
 * the moves of many local steps, in parts; here a push is a batch's gradient. There the grace
 * period adapts, and a learner weighs by its tokens. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

struct quorum_options {
    int64_t quorum; /* workers; 0: all but one */
    double grace;   /* seconds */
};

#define AT(field) offsetof(struct quorum_options, field)

static const struct option_row rows[] = {
    {.name = "quorum",
     .type = OPTION_INT,
     .offset = AT(quorum),
     .preset = "0",
     .placeholder = "K",
     .help = "workers whose gradients are waited for (0: all but one)",
     .most = 100000},
    {.name = "grace",
     .type = OPTION_REAL,
     .flags = OPTION_ENDLESS,
     .offset = AT(grace),
     .preset = "0.1",
     .placeholder = "S",
     .help = "seconds that the server then waits for more (inf: until all have come)"},
    {0}};

static const struct option_set option_set = {.title = "Scheme quorum",
                                             .owner = "--scheme quorum",
                                             .rows = rows,
                                             .size = sizeof(struct quorum_options)};

static void check(const struct options *o, int workers)
{
    const struct quorum_options *own = options_of(o, &option_set);
    if (own->quorum > workers)
        fatal("--quorum %lld: there are %d workers; take at most so many", (long long)own->quorum,
              workers);
}

static void work(struct node *n)
{
    ps_work(n);
}

struct round {     /* the version that is open */
    double *scale; /* [workers]: 1 of who was in time */
    int count;     /* how many they are */
    double ends_s; /* of the training clock; INFINITY: no quorum yet */
};

/* One update from those who were in time. */
static void update(struct ps_server *ps, const struct run_context *c, struct round *r)
{
    for (int i = 0; i < c->workers; i++)
        r->scale[i] /= (double)r->count * c->minibatches;
    ps_step(ps, r->scale);
    ps_reply_all(ps);
    memset(r->scale, 0, (size_t)c->workers * sizeof *r->scale);
    r->count = 0;
    r->ends_s = INFINITY;
}

/* A push in time, a departure, or the end of the grace period. */
static void take(struct node *n, struct ps_server *ps, const struct push *a, struct round *r)
{
    const struct quorum_options *o = options_of(n->context->options, &option_set);
    int workers = n->context->workers, present = ps_present(ps);
    int64_t wanted = o->quorum ? o->quorum : workers > 1 ? workers - 1 : 1;
    if (!a->expired && !a->departed) {
        r->scale[a->worker] = 1;
        r->count++;
    }
    bool enough = r->count && r->count >= wanted;
    if (enough && isinf(r->ends_s))
        r->ends_s = node_clock(n) + o->grace;
    if (r->count && (a->expired || r->count >= present || (enough && o->grace == 0)))
        update(ps, n->context, r);
}

static void serve(struct node *n)
{
    struct ps_server *ps = ps_server_open(n);
    struct round r = {.scale = xcalloc((size_t)n->context->workers, sizeof *r.scale),
                      .ends_s = INFINITY};
    n->races = true;
    ps_go_on_without(ps);
    ps_agree_on_order(ps);
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next_until(ps, r.ends_s));) {
        int worker = a->worker;
        if (a->expired || a->staleness == 0) {
            take(n, ps, a, &r);
            continue;
        }
        ps_discard(ps, worker);
        ps_reply(ps, worker);
    }
    xfree(r.scale);
    ps_server_close(ps);
}

const struct scheme scheme_quorum = {
    .name = "quorum",
    .rule = "ssgd of the first K workers and those who come within a grace period after them",
    .paper = "Decoupled DiLoCo 2026, arXiv:2604.21428",
    .deviations = "a push is a batch's gradient, where the paper's is the move of many local "
                  "steps; the grace period is fixed and all in time weigh the same, where the "
                  "paper adapts it and weighs by tokens",
    .flags = BOUNDED | REPLAYS | PUSHES | COMPRESSES | LOCKSTEP | SURVIVES,
    .messages = "W pushes, W pulls",
    .floats = "2 n",
    .staleness = "0",
    .options = &option_set,
    .check = check,
    .work = work,
    .serve = serve,
};
