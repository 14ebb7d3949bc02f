/* Asynchronous SGD: every push makes an update at once, nobody waits for anybody.
 *
 *   w(v+1) = w(v) - rate_s x (1 / B) sum over B mini-batches of grad f(w(v - s)),   s: updates
 *       since that worker pulled
 *
 * An update costs its worker one push and one pull of n floats. Staleness: about W - 1, unbounded.
 * Options:
 *   --stale-lr inverse   rate_s = rate / max(1, s): Zhang, Gupta, Lian, Liu 2016, arXiv:1511.05950,
 *                        equation 6. The gradient is
 *                          divided, which is the same under sgd and nesterov; rules that rescale
 *                            gradients are refused
 *   --softsync N           n-softsync of the same paper: an update from the mean of floor(W / N)
 *                          pushes, staleness about N
 *   --stale-bound S        pushes staler than S are dropped: Maranjyan, Tyurin, Richtarik 2025
 *                          (Ringmaster ASGD), arXiv:2501.16168 */
#include <string.h>

#include "base/alloc.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

void asgd_work(struct node *n)
{
    ps_work(n);
}

void asgd_serve(struct node *n)
{
    const struct options *o = n->context->options;
    int workers = n->context->workers, here = 0;
    int group = o->softsync && o->softsync < workers ? workers / (int)o->softsync : 1;
    bool inverse = !strcmp(o->stale_lr, "inverse");
    struct ps *ps = ps_open(n);
    double *scale = xcalloc((size_t)workers, sizeof *scale);
    n->races = true;
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));) {
        int worker = a->worker;
        if (a->header && o->stale_bound && a->staleness > o->stale_bound) {
            ps_discard(ps, worker);
            ps_reply(ps, worker);
            continue;
        }
        if (a->header) {
            scale[worker] = inverse && a->staleness > 1 ? 1 / (double)a->staleness : 1;
            here++;
        }
        if (!here || (here < group && here < ps_present(ps)))
            continue;
        for (int i = 0; i < workers; i++) /* fewer than a group once workers have left */
            scale[i] /= (double)here * n->context->minibatches;
        ps_step(ps, scale);
        ps_reply_all(ps);
        memset(scale, 0, (size_t)workers * sizeof *scale);
        here = 0;
    }
    xfree(scale);
    ps_close(ps);
}
