/* Each class cut in proportions drawn from Dirichlet(alpha, .. alpha) over the workers. */
#include <assert.h>
#include <math.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "data_loader/partition/kinds.h"

/* The logarithm of a gamma variate of this shape and scale 1 (Marsaglia and Tsang 2000). A shape a
 * < 1 is had from a + 1 and a uniform u, as G(a + 1) u^(1/a); in logarithms, because u^(1/a)
 * underflows: at a = 0.001 one in two is below 1e-300. */
static double draw_log_gamma(struct random *r, double shape)
{
    if (shape < 1) {
        double boost = log(1 - random_uniform(r)) / shape; /* 1 - u is never 0 */
        return draw_log_gamma(r, shape + 1) + boost;
    }
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = random_normal(r), root = 1 + c * x, v = root * root * root;
        double u = 1 - random_uniform(r);
        if (v > 0 && log(u) < 0.5 * x * x + d * (1 - v + log(v)))
            return log(d) + log(v);
    }
}

/* Gamma variates, divided by their sum, are a Dirichlet variate; deal_in_proportion() divides. The
 * greatest is scaled to 1, so the sum is not 0. */
static void draw_weights(const struct partition_options *o, int label, double *weight)
{
    const struct dirichlet_options *own = o->own;
    double greatest = -INFINITY;
    for (int w = 0; w < o->workers; w++) {
        struct random r = random_at(RANDOM_SHARD, o->seed, KEY_GAMMA, (uint64_t)label, (uint64_t)w);
        weight[w] = draw_log_gamma(&r, own->dirichlet);
        greatest = fmax(greatest, weight[w]);
    }
    for (int w = 0; w < o->workers; w++)
        weight[w] = exp(weight[w] - greatest);
}

static void deal(struct deal *d)
{
    const struct dirichlet_options *own = d->o->own;
    assert(own);
    if (!(own->dirichlet >= 1e-9 && own->dirichlet <= 1e9))
        fatal("--dirichlet %g: take 1e-9 to 1e9; 0.1 is uneven, 100 nearly even", own->dirichlet);
    double *weight = xcalloc((size_t)d->o->workers, sizeof *weight);
    int64_t *first = xcalloc((size_t)d->classes + 1, sizeof *first);
    deal_group(d, first);
    for (int c = 0; c < d->classes; c++) {
        if (first[c] == first[c + 1])
            continue;
        draw_weights(d->o, c, weight);
        deal_in_proportion(d->owner + first[c], first[c + 1] - first[c], weight, d->o->workers);
    }
    xfree(first);
    xfree(weight);
}

static const struct option_row rows[] = {
    {.name = "dirichlet",
     .type = OPTION_REAL,
     .offset = offsetof(struct dirichlet_options, dirichlet),
     .preset = "1",
     .placeholder = "ALPHA",
     .help = "concentration of --partition dirichlet: small is uneven, large is even"},
    {0}};

static const struct option_set option_set = {.title = "Partition dirichlet",
                                             .owner = "--partition dirichlet",
                                             .rows = rows,
                                             .size = sizeof(struct dirichlet_options)};

const struct partition_kind partition_dirichlet = {
    .name = "dirichlet",
    .summary = "each class cut in proportions drawn from a Dirichlet distribution",
    .paper = "Yurochkin et al. 2019, arXiv:1905.12022",
    .options = &option_set,
    .deal = deal,
    .remedy = "proportions so uneven were drawn; use a larger --dirichlet, fewer workers or "
              "another --seed",
};
