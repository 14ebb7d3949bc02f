/* Asynchronous local SGD with a bound: each worker makes H steps of its own, the server adds where
 * they led, unless they began too long ago.
 *
 *   w_i <- optimizer(w_i, g(w_i)), H times, from w(v - d)
 *   d < R:  w(v+1) = w(v) + (w_i - w(v - d)); else the push is ignored
 *
 * Either way the worker gets the newest w. A step is a mini-batch. d, the age, counts the updates
 * since that worker pulled. By plain SGD the push is - lr times the sum of the H gradients, as in
 * the paper. Else worker and server still move by one rule: the worker's, whose state nobody
 * averages. R is --ringmaster-r, by default W. With one worker the scheme is localsgd, bit for bit;
 * with H = 1 and plain SGD it is ringmaster of one mini-batch a batch. Cost: n floats up and n down
 * every H mini-batches. Staleness at most R - 1.
 * Async-Local SGD of Tyurin, Sivtsov 2025, Birch SGD, arXiv:2505.09218. */
#include "base/alloc.h"
#include "scheme/localsgd.h"

struct asynclocal_options {
    int64_t local_steps;  /* mini-batches */
    int64_t ringmaster_r; /* updates */
};

#define AT(field) offsetof(struct asynclocal_options, field)

static const struct option_row rows[] = {
    LOCAL_STEPS(AT(local_steps)),
    {.name = "ringmaster-r",
     .type = OPTION_INT,
     .offset = AT(ringmaster_r),
     .preset = "0",
     .placeholder = "R",
     .help = "pushes of an age of R updates or more are ignored (0: R is the workers' number)"},
    {0}};

static const struct option_set option_set = {.title = "Scheme asynclocal",
                                             .owner = "--scheme asynclocal",
                                             .rows = rows,
                                             .size = sizeof(struct asynclocal_options)};

static void work(struct node *n)
{
    const struct asynclocal_options *o = options_of(n->context->options, &option_set);
    localsgd_work(n, o->local_steps, 0);
}

static void serve(struct node *n)
{
    const struct asynclocal_options *o = options_of(n->context->options, &option_set);
    int64_t r = o->ringmaster_r ? o->ringmaster_r : n->context->workers;
    struct ps_server *ps = ps_server_open(n);
    n->races = true;
    ps_go_on_without(ps);
    ps_agree_on_order(ps);
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));) {
        int worker = a->worker;
        if (a->departed)
            continue;
        if (a->staleness < r)
            ps_add_vectors(ps, (const float *const[]){ps_vector(ps, worker)}, (double[]){1}, 1);
        else
            ps_discard(ps, worker);
        ps_reply(ps, worker);
    }
    ps_server_close(ps);
}

const struct scheme scheme_asynclocal = {
    .name = "asynclocal",
    .rule = "H local steps, then the server adds where they led, unless they are too old",
    .paper = "Tyurin, Sivtsov 2025, arXiv:2505.09218",
    .deviations = "R is to be tuned, by default W; momentum, if any, is each worker's own",
    .flags = REPLAYS | PUSHES | COMPRESSES | LOCKSTEP | SURVIVES,
    .messages = "a push, a pull",
    .floats = "2 n every H mini-batches",
    .staleness = "at most R - 1",
    .options = &option_set,
    .state = (const char *const[]){"worker.optimizer", NULL},
    .work = work,
    .serve = serve,
};
