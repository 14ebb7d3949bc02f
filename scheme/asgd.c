/* Asynchronous SGD: every push makes an update at once, nobody waits for anybody.
 *
 *   w(v+1) = w(v) - rate_s x (1 / B) sum over B mini-batches of grad f(w(v - s)),   s: updates since that worker pulled
 *
 * An update costs its worker one push and one pull of n floats. Staleness: about W - 1, unbounded. Options:
 *   --stale-rate inverse   rate_s = rate / max(1, s): Zhang, Gupta, Lian, Liu 2016, arXiv:1511.05950, equation 6. The gradient is
 *                          divided, which is the same under sgd and nesterov; rules that rescale gradients are refused
 *   --softsync N           n-softsync of the same paper: an update from the mean of floor(W / N) pushes, staleness about N
 *   --stale-bound S        pushes staler than S are dropped: Maranjyan, Tyurin, Richtarik 2025 (Ringmaster ASGD), arXiv:2501.16168 */
#include <string.h>

#include "base/alloc.h"
#include "parameter_server.h"
#include "scheme.h"

void asgd_work(struct node *n)
{
    ps_work(n);
}

void asgd_serve(struct node *n)
{
    const struct options *o = n->setting->options;
    int workers = n->setting->workers, here = 0;
    int group = o->softsync && o->softsync < workers ? workers / (int)o->softsync : 1;
    bool inverse = !strcmp(o->stale_rate, "inverse");
    struct ps *ps = ps_open(n);
    double *scale = obtain((size_t)workers, sizeof *scale);
    n->races = true;
    ps_answer_all(ps);
    for (const struct arrival *a; (a = ps_next(ps));) {
        int worker = a->worker;
        if (a->mail && o->stale_bound && a->stale > o->stale_bound) {
            ps_forget(ps, worker);
            ps_answer(ps, worker);
            continue;
        }
        if (a->mail) {
            scale[worker] = inverse && a->stale > 1 ? 1 / (double)a->stale : 1;
            here++;
        }
        if (!here || (here < group && here < ps_present(ps)))
            continue;
        for (int i = 0; i < workers; i++) /* fewer than a group once workers have left */
            scale[i] /= (double)here * n->setting->minibatches;
        ps_step(ps, scale);
        ps_answer_all(ps);
        memset(scale, 0, (size_t)workers * sizeof *scale);
        here = 0;
    }
    release(scale);
    ps_close(ps);
}
