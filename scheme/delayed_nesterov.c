/* Delayed Nesterov: asynchronous local SGD whose server adds each worker's move at once, and makes
 * a step of momentum with every N-th.
 *
 *   worker  w_i <- optimizer(w_i, g(w_i)), H_i times, from the w that it pulled; D = that w - w_i
 *   server  at each push: w <- w - (a / N) D,  buffer <- buffer + D
 *           at each N-th, too: m <- b m + buffer / N,  w <- w - a b m,  buffer <- 0
 *
 * a: --outer-lr, b: --outer-momentum, N: --outer-delay, by default W. With N = 1 and one worker it
 * is diloco with one, to rounding. With --dylu H_i follows the workers' speeds:
 *   H_i = max(1, floor(H v_i / max v))
 * v_i: mini-batches per second that worker i has computed so far, delays included; until one has
 * pushed, H. So all push about equally often. The paper knows the speeds beforehand.
 * Workers' optimizers keep their state, which nobody averages. Cost: n floats up and n down every
 * H_i mini-batches; two slices of floats at the server. Staleness about W - 1, unbounded.
 * Liu et al. 2024, arXiv:2401.09135, algorithms 3 and 4, whose c is 0. There the inner rule is
 * AdamW, and workers draw shards of the data by their progress, where here each keeps its own. */
#include <math.h>

#include "base/alloc.h"
#include "base/check.h"
#include "scheme/localsgd.h"

struct dnesterov_options {
    int64_t local_steps; /* mini-batches */
    double outer_lr, outer_momentum;
    int64_t outer_delay; /* pushes */
    bool dylu;
};

#define AT(field) offsetof(struct dnesterov_options, field)

static const struct option_row rows[] = {
    LOCAL_STEPS(AT(local_steps)),
    OUTER_LR(AT(outer_lr)),
    OUTER_MOMENTUM(AT(outer_momentum)),
    {.name = "outer-delay",
     .type = OPTION_INT,
     .offset = AT(outer_delay),
     .preset = "0",
     .placeholder = "N",
     .help = "pushes between two steps of the server's momentum (0: the workers' number)"},
    {.name = "dylu",
     .type = OPTION_FLAG,
     .offset = AT(dylu),
     .preset = "no",
     .help = "slow workers make fewer local steps"},
    {0}};

static const struct option_set option_set = {.title = "Scheme dnesterov",
                                             .owner = "--scheme dnesterov",
                                             .rows = rows,
                                             .size = sizeof(struct dnesterov_options)};

static const double second_ns = 1e9;
static const double rounding = 1e-6; /* of speeds that are equal */

static void check(const struct options *o, int workers)
{
    const struct dnesterov_options *own = options_of(o, &option_set);
    (void)workers;
    if (own->dylu && (*o->record || *o->replay))
        fatal("--%s: speeds decide how many steps --dylu makes, and no record has them; leave one "
              "of them out",
              *o->record ? "record" : "replay");
}

/* n->clock: here nanoseconds of computing, from the server how many steps to make next. */
static void work(struct node *n)
{
    struct local_worker k = localsgd_open(n);
    node_keep(n, "worker.clock", STATE_I64, &n->clock, 1);
    while (ps_wait(k.ps)) {
        double began_s = node_clock(n);
        localsgd_move(&k, n->min_clock);
        n->clock += llround((node_clock(n) - began_s) * second_ns);
        localsgd_push(&k);
    }
    localsgd_close(&k);
}

struct server {
    struct ps_server *ps;
    struct node *n;
    const struct dnesterov_options *o;
    int64_t delay, count; /* N; pushes in the buffer */
    int64_t *steps;       /* [workers] so far */
    double *speed;        /* [workers] mini-batches per second; 0: not known, or departed */
    float *buffer, *m;    /* [slice] */
};

static void add(struct server *s, int worker)
{
    const float *move = ps_vector(s->ps, worker); /* - D */
    double a = s->o->outer_lr, b = s->o->outer_momentum, each = 1.0 / (double)s->delay;
    const struct range slice = ps_slice(s->ps);
    int64_t floats = slice.to - slice.from;
    (s->count ? node_add : node_copy)(s->n, s->buffer, move, floats);
    bool last = ++s->count == s->delay;
    if (last) {
        node_sum(s->n, s->m, (const float *const[]){s->m, s->buffer}, (double[]){b, each}, 2,
                 floats);
        s->count = 0;
    }
    ps_add_vectors(s->ps, (const float *const[]){move, s->m}, (double[]){a * each, a * b},
                   last ? 2 : 1);
}

static int64_t steps_of(struct server *s, int worker)
{
    double fastest = 0;
    for (int i = 0; i < s->n->context->workers; i++)
        fastest = fmax(fastest, s->speed[i]);
    if (!s->o->dylu || s->speed[worker] <= 0)
        return s->o->local_steps;
    double steps = (double)s->o->local_steps * s->speed[worker] / fastest;
    return (int64_t)fmax(1, floor(steps + rounding));
}

static void take(struct server *s, struct push a)
{
    s->steps[a.worker] += a.minibatches;
    s->speed[a.worker] =
        a.departed || !a.clock ? 0 : (double)s->steps[a.worker] * second_ns / (double)a.clock;
    if (a.departed)
        return;
    add(s, a.worker);
    s->n->clock = steps_of(s, a.worker);
    ps_reply(s->ps, a.worker);
}

static void serve(struct node *n)
{
    const struct dnesterov_options *o = options_of(n->context->options, &option_set);
    size_t workers = (size_t)n->context->workers;
    struct server s = {.ps = ps_server_open(n),
                       .n = n,
                       .o = o,
                       .delay = o->outer_delay ? o->outer_delay : (int64_t)workers,
                       .steps = xcalloc(workers, sizeof *s.steps),
                       .speed = xcalloc(workers, sizeof *s.speed)};
    const struct range slice = ps_slice(s.ps);
    s.buffer = node_vector(n, slice.to - slice.from);
    s.m = node_vector(n, slice.to - slice.from);
    node_keep(n, "server.buffer", STATE_F32, s.buffer, slice.to - slice.from);
    node_keep(n, "server.buffer/pushes", STATE_I64, &s.count, 1);
    node_keep(n, "server.momentum", STATE_F32, s.m, slice.to - slice.from);
    node_keep_by_worker(n, "server.speeds", STATE_F64, s.speed, 1);
    node_keep_by_worker(n, "server.speeds/steps", STATE_I64, s.steps, 1);
    if (node_workers_before(n))
        s.count = 0; /* N may be another number: a step's pushes are counted anew */
    n->races = true;
    n->clock = o->local_steps;
    ps_go_on_without(s.ps);
    ps_agree_on_order(s.ps);
    ps_reply_all(s.ps);
    for (const struct push *a; (a = ps_next(s.ps));)
        take(&s, *a);
    ps_server_close(s.ps);
    node_vector_free(n, s.buffer);
    node_vector_free(n, s.m);
    xfree(s.steps);
    xfree(s.speed);
}

const struct scheme scheme_dnesterov = {
    .name = "dnesterov",
    .rule = "local steps; each move is added at once, and momentum with every N-th",
    .paper = "Liu et al. 2024, arXiv:2401.09135",
    .deviations = "the inner rule is --optimizer's, where the paper's is AdamW; speeds are "
                  "measured in the run, where the paper knows them beforehand; each worker keeps "
                  "its share of the data, where the paper's draw shards by their progress",
    .flags = REPLAYS | PUSHES | COMPRESSES | LOCKSTEP | SURVIVES,
    .messages = "a push, a pull",
    .floats = "2 n every H mini-batches",
    .staleness = "about W - 1, unbounded",
    .options = &option_set,
    .check = check,
    .state = (const char *const[]){"worker.optimizer", "worker.clock", "server.buffer",
                                   "server.momentum", "server.speeds", NULL},
    .work = work,
    .serve = serve,
};
