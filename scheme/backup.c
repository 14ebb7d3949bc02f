/* Synchronous SGD with backup workers: the first W - b gradients of a version make the update,
 * later ones are dropped.
 *
 *   w(v+1) = w(v) - rate x (1 / N B) sum of the first N = W - b workers' gradients at w(v)
 *
 * A late push carries its version: it is dropped when it comes, and its worker gets the newest
 * weights at once. Cost as ssgd. Staleness 0. With --backup-workers 0 the scheme is ssgd, bit for
 * bit. Chen, Pan, Monga, Bengio, Jozefowicz 2016, arXiv:1604.00981, section 2.1 and algorithms 3
 * and 4. */
#include <string.h>

#include "base/alloc.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

void backup_work(struct node *n)
{
    ps_work(n);
}

void backup_serve(struct node *n)
{
    int workers = n->context->workers, wanted = workers - (int)n->context->options->backup_workers,
        here = 0;
    struct ps *ps = ps_open(n);
    double *scale = xcalloc((size_t)workers, sizeof *scale);
    n->races = true;
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));) {
        int worker = a->worker;
        if (a->header && a->staleness > 0) {
            ps_discard(ps, worker);
            ps_reply(ps, worker);
            continue;
        }
        if (a->header) {
            scale[worker] = 1;
            here++;
        }
        if (!here || (here < wanted && here < ps_present(ps)))
            continue;
        for (int i = 0; i < workers; i++) /* fewer than wanted once workers have left */
            scale[i] /= (double)here * n->context->minibatches;
        ps_step(ps, scale);
        ps_reply_all(ps);
        memset(scale, 0, (size_t)workers * sizeof *scale);
        here = 0;
    }
    xfree(scale);
    ps_close(ps);
}
