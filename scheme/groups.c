/* Updates from groups of pushes, in the order in which they come. */
#include "scheme/groups.h"

#include <string.h>

#include "base/alloc.h"
#include "parameter_server/parameter_server.h"

/* One update from the `count` pushes that have a weight in scale[workers]. */
static void update(struct ps_server *ps, const struct run_context *c, double *scale, int count)
{
    for (int i = 0; i < c->workers; i++)
        scale[i] /= (double)count * c->minibatches;
    ps_step(ps, scale);
    ps_reply_all(ps);
    memset(scale, 0, (size_t)c->workers * sizeof *scale);
}

void groups_serve(struct node *n, const struct groups *g)
{
    int count = 0;
    struct ps_server *ps = ps_server_open(n);
    double *scale = xcalloc((size_t)n->context->workers, sizeof *scale);
    n->races = true;
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));) {
        if (a->staleness > g->stalest) {
            int worker = a->worker;
            ps_discard(ps, worker);
            ps_reply(ps, worker);
            continue;
        }
        if (!a->departed) {
            scale[a->worker] = g->by_staleness && a->staleness > 1 ? 1 / (double)a->staleness : 1;
            count++;
        }
        if (!count || (count < g->size && count < ps_present(ps)))
            continue;
        update(ps, n->context, scale, count);
        count = 0;
    }
    xfree(scale);
    ps_server_close(ps);
}
