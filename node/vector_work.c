/* Vector work of a rank: what it reads and writes, how long that takes on a simulated machine, and
 * the account that it goes to.
 *
 * A server has its host's memory to itself: where updates are synchronous, workers wait. A worker's
 * others compute or do the same work at the same time, so it works at the crowded rate. */
#include "node/private.h"

static double bandwidth_of(const struct node *n, enum vector_pass pass)
{
    const struct machine *m = n->context->machine;
    bool crowded = n->worker >= 0 && n->net->ranks > 1;
    return m && n->net->virtual_time ? machine_vector_bandwidth(m, pass, crowded) : 0;
}

static double seconds(int64_t count, int floats, double bandwidth)
{
    return bandwidth > 0 && floats ? (double)count * sizeof(float) * floats / bandwidth : 0;
}

static void advance(struct node *n, int64_t count, int floats, double bandwidth)
{
    if (bandwidth > 0 && floats)
        net_advance(n->net, seconds(count, floats, bandwidth));
}

void node_advance_vector(struct node *n, int64_t count, int vectors)
{
    advance(n, count, vectors, bandwidth_of(n, PASS_SUM));
}

void node_advance_copy(struct node *n, int from, int64_t count)
{
    const struct machine *m = n->context->machine;
    double bandwidth = m ? machine_copy_bandwidth(m, from, n->rank) : 0;
    if (bandwidth > 0)
        advance(n, count, 1, bandwidth);
    else
        advance(n, count, 2, bandwidth_of(n, PASS_COPY));
}

static double together_bandwidth(const struct node *n)
{
    const struct machine *m = n->context->machine;
    double bandwidth = m ? 2 * machine_copy_bandwidth(m, n->rank, n->rank) : 0;
    return bandwidth > 0 ? bandwidth : bandwidth_of(n, PASS_SUM);
}

double node_together_s(const struct node *n, int64_t count, int vectors)
{
    return seconds(count, vectors, together_bandwidth(n));
}

void node_advance_together(struct node *n, int64_t count, int vectors)
{
    advance(n, count, vectors, together_bandwidth(n));
}

struct vector_work node_step_work(const struct optimizer *o, int sources)
{
    return (struct vector_work){
        .count = optimizer_count(o),
        .floats = {[PASS_SUM] = sources, [PASS_STEP] = optimizer_passes(o, sources) - sources}};
}

void node_count_work(struct node *n, double began_s, struct vector_work work)
{
    for (enum vector_pass pass = 0; pass < VECTOR_PASSES; pass++)
        advance(n, work.count, work.floats[pass], bandwidth_of(n, pass));
    enum account current = node_account(n, ACCOUNT_UPDATE);
    node_account(n, current);
    node_move_account(n, current, ACCOUNT_UPDATE, node_clock(n) - began_s);
}

void node_step_sum(struct node *n, struct optimizer *o, float *w, const float *const *source,
                   const double *scale, int sources, double lr)
{
    double began_s = node_clock(n);
    optimizer_step_sum(o, w, NULL, source, scale, sources, lr);
    node_count_work(n, began_s, node_step_work(o, sources));
}

void node_step(struct node *n, struct optimizer *o, float *w, const float *g, double lr)
{
    double began_s = node_clock(n);
    optimizer_step(o, w, g, lr);
    node_count_work(n, began_s, node_step_work(o, 1));
}

void node_sum(struct node *n, float *to, const float *const *source, const double *scale,
              int sources, int64_t count)
{
    double began_s = node_clock(n);
    if (!node_forwards(n))
        vector_sum(to, source, scale, sources, count, n->context->threads);
    node_count_work(n, began_s, (struct vector_work){count, {[PASS_SUM] = sources + 1}});
}

void node_add(struct node *n, float *to, const float *from, int64_t count)
{
    double began_s = node_clock(n);
    if (!node_forwards(n))
        vector_add(to, from, count, n->context->threads);
    node_count_work(n, began_s, (struct vector_work){count, {[PASS_SUM] = 3}});
}

void node_copy(struct node *n, float *to, const float *from, int64_t count)
{
    double began_s = node_clock(n);
    if (!node_forwards(n))
        vector_copy(to, from, count, n->context->threads);
    node_count_work(n, began_s, (struct vector_work){count, {[PASS_COPY] = 2}});
}
