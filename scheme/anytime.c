/* Anytime mini-batch: every worker computes for the same time, and contributes as many mini-batches as it has finished.
 *
 *   w(v+1) = w(v) - rate x (sum of all finished mini-batches' gradients at w(v)) / (their number)
 *
 * The time, --compute-s, counts from the arrival of the weights; what is under way when it is over is dropped and done again. Cost
 * as ssgd. Staleness 0. Ferdinand, Al-Lawati, Draper, Nokleby ICLR 2019, arXiv:2006.05752 (with a server in place of their consensus). */
#include <math.h>

#include "base/alloc.h"
#include "base/check.h"
#include "parameter_server.h"
#include "scheme.h"

enum { PATIENCE = 100 }; /* versions in a row to which nobody contributes */

void anytime_work(struct node *n)
{
    struct ps *ps = ps_open(n);
    ps_pull(ps, n->w);
    while (ps_wait(ps)) {
        node_clear(n);
        node_limit(n, node_clock(n) + n->setting->options->compute_s);
        while (!node_past_limit(n))
            node_minibatch(n);
        node_limit(n, INFINITY);
        ps_push(ps, n->sum);
        ps_pull(ps, n->w);
    }
    ps_close(ps);
}

void anytime_serve(struct node *n)
{
    int workers = n->setting->workers, empty = 0;
    struct ps *ps = ps_open(n);
    double *scale = obtain((size_t)workers, sizeof *scale);
    ps_answer_all(ps);
    while (ps_collect(ps)) {
        double finished = 0;
        for (int i = 0; i < workers; i++)
            finished += ps_arrival(ps, i)->mail ? (double)ps_arrival(ps, i)->mail->count : 0;
        for (int i = 0; i < workers; i++)
            scale[i] = finished > 0 ? 1 / finished : 0;
        empty = finished > 0 ? 0 : empty + 1;
        CHECK(empty < PATIENCE, "nobody has finished a mini-batch within --compute-s %g for %d versions; give them more time",
              n->setting->options->compute_s, empty);
        ps_step(ps, scale);
        ps_answer_all(ps);
    }
    release(scale);
    ps_close(ps);
}
