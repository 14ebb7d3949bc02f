/* What slows this rank's link now and then, as the simulated world asks for it.
 *
 * By the clock the moments are those of the training clock: between a stop of it and the port's
 * next event a port may have the bandwidth of a moment that is over. Payloads of evaluations are
 * not numbered and not delayed. */
#include <math.h>

#include "node/private.h"

static const double shortest_s = 1e-9; /* between two looks at the clock */

static bool is_training(int tag)
{
    return tag != TAG_SLICE && tag != TAG_PARTIAL && tag != TAG_STATISTICS &&
           tag != TAG_EVALUATION && tag != TAG_COUNTERS;
}

/* The first weights may set out to a rank that is still at the barrier. */
static double clock_s(const struct node *n)
{
    return n->own->clock.started_s > 0 ? fmax(node_clock(n), 0) : 0;
}

static double on_payload(void *self, int tag)
{
    struct node *n = self;
    const struct run_context *s = n->context;
    struct link_course *l = &n->own->link;
    if (!is_training(tag))
        return 0;
    int64_t index = l->payloads++;
    uint64_t seed = (uint64_t)s->options->seed;
    double late_s = s->delay_block_s > 0
                        ? delay_course_at(&s->link.delay, seed, n->rank, false, &l->course,
                                          s->delay_block_s, node_clock(n), 0)
                        : delay_at(&s->link.delay, seed, n->rank, index, false);
    return late_s;
}

static double divisor(void *self, double *for_s)
{
    const struct node *n = self;
    const struct run_context *s = n->context;
    int64_t payloads = n->own->link.payloads, index = payloads ? payloads - 1 : 0;
    if (s->delay_block_s > 0) {
        double now_s = clock_s(n);
        index = (int64_t)((now_s + shortest_s) / s->delay_block_s);
        *for_s = fmax((double)(index + 1) * s->delay_block_s - now_s, shortest_s);
    }
    return link_factor_at(&s->link, (uint64_t)s->options->seed, n->rank, index);
}

void link_open(struct node *n)
{
    const struct link_slowness *l = &n->context->link;
    if (l->delay.terms || l->bursts)
        n->net->link = (struct net_link){
            .owner = n, .on_payload = on_payload, .divisor = l->bursts ? divisor : NULL};
}

void link_close(struct node *n)
{
    n->net->link = (struct net_link){0};
}
