/* Malenia SGD: every worker weighs the same in an update, however many gradients it gives.
 *
 *   w(v+1) = w(v) - lr (1 / W) sum_i (1 / b_i) sum of the b_i gradients that worker i gave at w(v)
 *
 * A worker pushes every mini-batch's gradient and goes on at the same weights until new ones come.
 * An update is made when every worker has given one, and W / sum_i (1 / b_i), the harmonic mean of
 * what they gave, is S / W at least. S is --malenia-batch, by default W: as soon as each has given
 * one. What is under way then is dropped and done again (in the paper it runs to its end in vain);
 * a gradient that comes too late is dropped. At equal speeds, with the default, the scheme is ssgd
 * of one mini-batch a batch, bit for bit. Workers that have departed, or are absent, are not waited
 * for: the mean is over those that gave something.
 * Cost: n floats up per mini-batch, n down per update and worker; W n floats at the server, which
 * reads all of them for an update. Staleness 0.
 * Tyurin, Richtarik NeurIPS 2023, arXiv:2305.12387, algorithm 3 and method 6. */
#include "base/alloc.h"
#include "scheme/gradient_table.h"
#include "scheme/scheme.h"

struct malenia_options {
    int64_t malenia_batch; /* mini-batches */
};

#define AT(field) offsetof(struct malenia_options, field)

static const struct option_row rows[] = {
    {.name = "malenia-batch",
     .type = OPTION_INT,
     .offset = AT(malenia_batch),
     .preset = "0",
     .placeholder = "S",
     .help =
         "an update waits for S / W mini-batches of each worker, in the harmonic mean (0: one)"},
    {0}};

static const struct option_set option_set = {.title = "Scheme malenia",
                                             .owner = "--scheme malenia",
                                             .rows = rows,
                                             .size = sizeof(struct malenia_options)};

static void work(struct node *n)
{
    ps_work_on(n);
}

struct server {
    struct ps_server *ps;
    struct node *n;
    struct gradient_table table;
    bool *departed;       /* [workers] */
    const float **source; /* [workers] */
    double *scale;        /* [workers] */
};

/* Has everybody given one, and all together enough? */
static bool is_complete(const struct server *s)
{
    const struct malenia_options *o = options_of(s->n->context->options, &option_set);
    double entries = 0, inverse = 0;
    for (int i = 0; i < s->n->context->workers; i++) {
        int64_t count = s->table.count[i];
        if (!count && !s->departed[i])
            return false;
        entries += count > 0;
        inverse += count > 0 ? 1 / (double)count : 0;
    }
    return entries > 0 && entries / inverse >= (double)o->malenia_batch / entries;
}

static void take(struct server *s, const struct push *a)
{
    struct push push = *a;
    bool late = push.staleness > 0;
    s->departed[push.worker] = push.departed; /* one that was absent is back */
    if (push.departed || push.asks || late) {
        ps_discard(s->ps, push.worker);
        if (push.asks && late)
            ps_reply(s->ps, push.worker);
    } else {
        gradient_table_add(&s->table, push.worker, ps_vector(s->ps, push.worker), 1);
        ps_count(s->ps, push.worker, 0);
    }
    if (!is_complete(s))
        return;
    int count = gradient_table_mean(&s->table, s->source, s->scale);
    ps_step_vectors(s->ps, s->source, s->scale, count);
    ps_reply_all(s->ps);
    gradient_table_clear(&s->table);
}

static void serve(struct node *n)
{
    size_t workers = (size_t)n->context->workers;
    struct server s = {.ps = ps_server_open(n), .n = n};
    s.table = gradient_table_open(n, ps_slice(s.ps));
    s.departed = xcalloc(workers, sizeof *s.departed);
    s.source = xcalloc(workers, sizeof *s.source);
    s.scale = xcalloc(workers, sizeof *s.scale);
    n->races = true;
    ps_go_on_without(s.ps);
    ps_agree_on_order(s.ps);
    ps_reply_all(s.ps);
    for (const struct push *a; (a = ps_next(s.ps));)
        take(&s, a);
    gradient_table_close(&s.table);
    xfree(s.departed);
    xfree(s.source);
    xfree(s.scale);
    ps_server_close(s.ps);
}

const struct scheme scheme_malenia = {
    .name = "malenia",
    .rule = "an update when each worker has given a gradient; the mean of the workers' means",
    .paper = "Tyurin, Richtarik 2023, arXiv:2305.12387",
    .deviations = "a mini-batch that is under way when new weights come is dropped and done again, "
                  "where the paper's runs to its end in vain",
    .flags = BOUNDED | PUSHES | COMPRESSES | LOCKSTEP | SURVIVES,
    .messages = "a push a mini-batch, W requests, W pulls",
    .floats = "n a mini-batch + n",
    .staleness = "0",
    .options = &option_set,
    .work = work,
    .serve = serve,
};
