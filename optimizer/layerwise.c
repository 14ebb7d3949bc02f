/* A layer's step: its norms, its rate, then the rule's loop. */
#include "optimizer/layerwise.h"

#include "base/squares.h"

/* From a float of the layer on; NULL where the rule has no such state. */
static float *from(float *vector, int64_t at)
{
    return vector ? vector + at : NULL;
}

struct sums {
    struct squares w, step;
};

static void measure(const struct layerwise_step *s, const struct step_coefficients *c,
                    struct range at, struct sums *sums)
{
    struct sums own = {.w = {.bad = 0}};
    s->rule->measure(c, s->w + at.from, s->g + at.from, from(s->state[0], at.from),
                     from(s->state[1], at.from), at.to - at.from, &own.w, &own.step);
    squares_join(&sums->w, &own.w);
    squares_join(&sums->step, &own.step);
}

static void step(const struct layerwise_step *s, const struct step_coefficients *c, struct range at)
{
    s->rule->kernel(c, s->w + at.from, s->g + at.from, from(s->state[0], at.from),
                    from(s->state[1], at.from), NULL, at.to - at.from);
}

static struct range shifted(struct range at, int64_t by)
{
    return (struct range){at.from + by, at.to + by};
}

void layerwise_step(const struct layerwise_step *s, struct layer layer)
{
    struct step_coefficients c = s->c[layer.adapts];
    struct sums sums = {.w = {.bad = 0}};
    int64_t first = layer.at.from, count = layer.at.to - first;
    EACH_RANGE(count, s->options->threads,
               measure(s, &s->unit[layer.adapts], shifted(at, first), &sums));
    if (layer.adapts)
        s->rule->adapt(s->options, s->lr,
                       (struct layer_norms){squares_norm(&sums.w), squares_norm(&sums.step)}, &c);
    EACH_RANGE(count, s->options->threads, step(s, &c, shifted(at, first)));
}
