/* The outer step of SlowMo. */
#include <math.h>

#include "base/alloc.h"
#include "base/check.h"
#include "collective/collective.h"
#include "gossip/gossip.h"

struct outer_options {
    int64_t every;
    double lr, momentum;
};

#define AT(field) offsetof(struct outer_options, field)

static const struct option_row rows[] = {
    {.name = "outer-every",
     .type = OPTION_INT,
     .offset = AT(every),
     .preset = "0",
     .placeholder = "TAU",
     .help = "SlowMo: every TAU updates all workers take their exact mean, and slow momentum along "
             "its move; 0: never",
     .most = 1000000},
    {.name = "outer-lr",
     .type = OPTION_REAL,
     .offset = AT(lr),
     .preset = "1",
     .placeholder = "ALPHA",
     .help = "of that step; 1 without momentum: the mean",
     .flags = OPTION_ABOVE,
     .most = 10},
    {.name = "outer-momentum",
     .type = OPTION_REAL,
     .offset = AT(momentum),
     .preset = "0.6",
     .placeholder = "BETA",
     .help = "slow momentum",
     .flags = OPTION_BELOW,
     .most = 1},
    {0}};

const struct option_set outer_option_set = {.title = "SlowMo",
                                            .owner = "a scheme with an outer step",
                                            .rows = rows,
                                            .size = sizeof(struct outer_options)};

struct outer {
    struct node *n;
    struct outer_options options;
    struct collective *all;
    float *start, *momentum; /* x of the last outer step, u: the same at all workers */
    double rates;            /* sum of those of the updates since */
    int64_t updates;         /* since */
};

void outer_check(const struct options *o)
{
    const struct outer_options *own = options_of(o, &outer_option_set);
    if (own->every)
        return;
    if (options_given(o, "outer-lr") || options_given(o, "outer-momentum"))
        fatal("--outer-lr, --outer-momentum: without --outer-every no outer step is made; give it, "
              "or leave them out");
    if (options_given(o, "allreduce"))
        fatal(
            "--allreduce %s: %s sums among all workers only with --outer-every; give it, or leave "
            "it out",
            o->allreduce, o->scheme);
    if (options_given(o, "sim-model-sums"))
        fatal("--sim-model-sums: %s sums among all workers only with --outer-every; give it, or "
              "leave it out",
              o->scheme);
}

struct outer *outer_open(struct node *n)
{
    const struct outer_options *o = options_of(n->context->options, &outer_option_set);
    if (!o->every)
        return NULL;
    struct outer *s = xcalloc(1, sizeof *s);
    *s = (struct outer){.n = n,
                        .options = *o,
                        .all = collective_open(n, n->count, NULL),
                        .start = node_vector(n, n->count),
                        .momentum = node_vector(n, n->count)};
    node_copy(n, s->start, n->w, n->count);
    node_keep(n, "workers.outer/start", STATE_F32, s->start, n->count);
    node_keep(n, "workers.outer/momentum", STATE_F32, s->momentum, n->count);
    node_keep(n, "workers.outer/rates", STATE_F64, &s->rates, 1);
    node_keep(n, "workers.outer/updates", STATE_I64, &s->updates, 1);
    return s;
}

void outer_close(struct outer *s)
{
    if (!s)
        return;
    collective_close(s->all);
    node_vector_free(s->n, s->start);
    node_vector_free(s->n, s->momentum);
    xfree(s);
}

void outer_step(struct outer *s, float *w)
{
    if (!s)
        return;
    struct node *n = s->n;
    const double rates = s->rates + n->lr, lr = rates / (double)(s->updates + 1);
    if ((n->version + 1) % s->options.every) {
        s->rates = rates;
        s->updates++;
        return;
    }
    collective_sum(s->all, w, 1.0 / n->context->workers);
    s->rates = 0; /* not before: a checkpoint may be cut while workers sum */
    s->updates = 0;
    if (lr > 0) { /* else nothing has moved but by mixing */
        node_sum(n, s->momentum, (const float *const[]){s->momentum, s->start, w},
                 (double[]){s->options.momentum, 1 / lr, -1 / lr}, 3, n->count);
        node_sum(n, w, (const float *const[]){s->start, s->momentum},
                 (double[]){1, -s->options.lr * lr}, 2, n->count);
    }
    node_copy(n, s->start, w, n->count);
}
