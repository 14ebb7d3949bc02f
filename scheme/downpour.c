/* Downpour SGD: workers move on their own, push their gradients every n_push batches, and fetch the
 * weights every n_fetch.
 *
 *   worker  after each batch, g the mean gradient of its B mini-batches: delta_i <- delta_i + g;
 *           every n_push batches: push delta_i, delta_i <- 0;  every n_fetch batches: w_i <- w
 *   server  w <- w - lr delta_i by its optimizer (the paper's: sgd, or adagrad at about 10 lr)
 *
 * With n_fetch > 1 workers move between two fetches. Then w_i and delta_i move by the step of the
 * worker's own optimizer, and the server adds delta_i: so both move by one rule. By plain SGD that
 * is the rule above. A worker waits for a fetch (the paper's run beside the computing), not for a
 * push. With n_push = n_fetch = 1 both are one message and its reply: asgd. With --warm-start the
 * first worker trains alone for that part of the run. Cost: n floats every n_push batches and n
 * every n_fetch. Staleness unbounded. Dean et al. NIPS 2012, sections 4.1 and 4.2. */
#include "base/alloc.h"
#include "base/check.h"
#include "parameter_server/parameter_server.h"
#include "scheme/own_step.h"
#include "scheme/scheme.h"

struct downpour_options {
    int64_t n_push, n_fetch; /* batches */
    double warm_start;       /* part of the run */
};

#define AT(field) offsetof(struct downpour_options, field)

static const struct option_row rows[] = {
    {.name = "n-push",
     .type = OPTION_INT,
     .offset = AT(n_push),
     .preset = "1",
     .placeholder = "N",
     .help = "batches between pushes",
     .least = 1},
    {.name = "n-fetch",
     .type = OPTION_INT,
     .offset = AT(n_fetch),
     .preset = "1",
     .placeholder = "N",
     .help = "batches between fetches",
     .least = 1},
    {.name = "warm-start",
     .type = OPTION_REAL,
     .flags = OPTION_BELOW,
     .offset = AT(warm_start),
     .preset = "0",
     .placeholder = "PART",
     .help = "part of the run in which the first worker trains alone",
     .most = 1},
    {0}};

static const struct option_set option_set = {.title = "Scheme downpour",
                                             .owner = "--scheme downpour",
                                             .rows = rows,
                                             .size = sizeof(struct downpour_options)};

struct worker {
    struct node *n;
    struct ps_client *ps;
    bool moves;          /* between two fetches, by its own steps: delta sums these */
    bool streams;        /* each batch's sum is the push */
    struct own_step own; /* moves */
    float *delta;        /* summed since the last push; after it, what the server still reads */
    int64_t finished;    /* mini-batches in it */
    double loss;
};

static void check(const struct options *o, int workers)
{
    const struct downpour_options *own = options_of(o, &option_set);
    (void)workers;
    if ((*o->record || *o->replay) && o->seconds > 0 && own->warm_start > 0)
        fatal("--%s with --seconds: the warm start would follow the clock, which no record has; "
              "take --warm-start 0, or end by --samples or --updates",
              *o->record ? "record" : "replay");
}

/* What a batch adds to the delta: its sum of gradients, or the worker's own step. The delta that
 * was pushed is the worker's again before it is begun anew. */
static void gather(struct worker *k)
{
    struct node *n = k->n;
    if (!k->finished)
        ps_flush(k->ps);
    if (k->moves) {
        own_step_move(&k->own, n, 1, k->delta, k->finished > 0);
    } else if (k->finished) {
        node_add(n, k->delta, n->sum, n->count);
    } else {
        float *taken = k->delta;
        k->delta = n->sum;
        n->sum = taken;
    }
}

/* A batch. False: the end has come in the middle of it. */
static bool advance(struct worker *k)
{
    struct node *n = k->n;
    if (k->streams)
        ps_batch(k->ps);
    else
        node_batch(n);
    if (!n->stop)
        gather(k);
    k->finished += n->finished;
    k->loss += n->loss;
    return !n->stop;
}

static void push(struct worker *k, bool fetches)
{
    k->n->finished = k->finished;
    k->n->loss = k->loss;
    (fetches ? ps_push : ps_push_async)(k->ps, k->delta);
    k->finished = 0;
    k->loss = 0;
}

static void work(struct node *n)
{
    const struct downpour_options *o = options_of(n->context->options, &option_set);
    struct worker k = {.n = n,
                       .ps = ps_client_open(n),
                       .moves = o->n_fetch > 1,
                       .streams = o->n_push == 1 && o->n_fetch == 1,
                       .delta = net_alloc(n->net, (size_t)n->count * sizeof(float))};
    if (k.moves)
        k.own = own_step_open(n);
    ps_pull(k.ps, n->w);
    bool training = ps_wait(k.ps);
    for (int64_t batches = 1; training && advance(&k); batches++) {
        bool pushes = batches % o->n_push == 0, fetches = batches % o->n_fetch == 0;
        if (pushes)
            push(&k, fetches);
        else if (fetches)
            ps_request(k.ps);
        if (!fetches)
            continue;
        ps_pull(k.ps, n->w);
        training = ps_wait(k.ps);
    }
    n->finished = k.finished; /* what was not pushed any more */
    node_discard(n);
    ps_flush(k.ps);
    net_free(n->net, k.delta);
    if (k.moves)
        own_step_close(&k.own, n);
    ps_client_close(k.ps);
}

static void serve(struct node *n)
{
    const struct downpour_options *o = options_of(n->context->options, &option_set);
    struct ps_server *ps = ps_server_open(n);
    double *scale = xcalloc((size_t)n->context->workers, sizeof *scale);
    bool alone = o->warm_start > 0, moves = o->n_fetch > 1;
    n->races = true;
    ps_go_on_without(ps);
    if (moves)
        ps_announce_end(ps);
    alone ? ps_reply(ps, 0) : ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));) {
        int worker = a->worker;
        bool asks = a->asks, first_left = worker == 0 && a->departed;
        if (a->minibatches) {
            scale[worker] = moves ? 1 : 1.0 / n->context->minibatches;
            (moves ? ps_add : ps_step)(ps, scale);
            scale[worker] = 0;
        } else {
            ps_discard(ps, worker);
        }
        if (asks)
            ps_reply(ps, worker);
        if (alone && (node_done(n) >= o->warm_start || first_left)) {
            alone = false;
            ps_reply_all(ps);
        }
    }
    xfree(scale);
    ps_server_close(ps);
}

const struct scheme scheme_downpour = {
    .name = "downpour",
    .rule = "workers move on their own, push every n_push batches, fetch every n_fetch",
    .paper = "Dean et al. 2012",
    .deviations = "a worker waits for a fetch, where the paper's fetches run beside the computing; "
                  "with n_fetch > 1 the state of an optimizer, as adagrad's, is each worker's, "
                  "where the paper's is the server's",
    .flags = REPLAYS | PUSHES | COMPRESSES | SURVIVES,
    .messages = "a push; a pull every n_fetch batches",
    .floats = "n + n n_push / n_fetch",
    .staleness = "unbounded",
    .options = &option_set,
    .check = check,
    .state = (const char *const[]){"worker.optimizer", NULL},
    .work = work,
    .serve = serve,
};
