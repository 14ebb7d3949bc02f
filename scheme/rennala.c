/* Rennala SGD: an update needs S mini-batch gradients at the current version, from any workers.
 *
 *   w(v+1) = w(v) - lr (1 / S) sum of the first S gradients at w(v)
 *
 * A worker pushes every mini-batch's gradient and goes on at the same weights until new ones come.
 * A mini-batch that is computing then is dropped and done again (in the paper it runs to its end in
 * vain); a gradient that comes too late is dropped. Of several servers rank 0 chooses the gradients
 * for all. Fast workers give more, and no worker waits for another. S is --rennala-batch, by
 * default workers x mini-batches: at equal speeds the scheme is then ssgd. Cost: n floats up per
 * mini-batch, n down per update and worker. Staleness 0. Tyurin, Richtarik NeurIPS 2023,
 * arXiv:2305.12387, algorithm 2 and method 4. */
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

struct rennala_options {
    int64_t rennala_batch; /* mini-batches */
};

#define AT(field) offsetof(struct rennala_options, field)

static const struct option_row rows[] = {
    {.name = "rennala-batch",
     .type = OPTION_INT,
     .offset = AT(rennala_batch),
     .preset = "0",
     .placeholder = "S",
     .help = "mini-batches of an update (0: workers x mini-batches)",
     .old = "gather"},
    {0}};

static const struct option_set option_set = {.title = "Scheme rennala",
                                             .owner = "--scheme rennala",
                                             .rows = rows,
                                             .size = sizeof(struct rennala_options)};

static void work(struct node *n)
{
    ps_work_on(n);
}

static void serve(struct node *n)
{
    const struct run_context *s = n->context;
    const struct rennala_options *o = options_of(s->options, &option_set);
    int64_t wanted = o->rennala_batch ? o->rennala_batch : (int64_t)s->workers * s->minibatches,
            accumulated = 0;
    struct ps_server *ps = ps_server_open(n);
    n->races = true;
    ps_go_on_without(ps);
    ps_agree_on_order(ps);
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));) {
        int worker = a->worker;
        bool asks = a->asks, late = a->staleness > 0;
        if (a->departed || asks || late) {
            ps_discard(ps, worker);
            if (asks && late)
                ps_reply(ps, worker);
            continue;
        }
        ps_accumulate(ps, worker);
        if (++accumulated < wanted)
            continue;
        ps_step_accumulated(ps, 1.0 / (double)wanted);
        ps_reply_all(ps);
        accumulated = 0;
    }
    ps_server_close(ps);
}

const struct scheme scheme_rennala = {
    .name = "rennala",
    .rule = "an update from the first S mini-batches at its version, from any workers",
    .paper = "Tyurin, Richtarik 2023, arXiv:2305.12387",
    .deviations =
        "a mini-batch that is under way when new weights come is dropped and done again, where the "
        "paper's runs to its end in vain; rank 0 chooses the gradients for all servers",
    .flags = BOUNDED | PUSHES | COMPRESSES | LOCKSTEP | SURVIVES,
    .messages = "S pushes, W requests, W pulls",
    .floats = "n a mini-batch + n",
    .staleness = "0",
    .options = &option_set,
    .work = work,
    .serve = serve,
};
