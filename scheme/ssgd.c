/* Synchronous SGD with a parameter server: every worker waits for the slowest.
 *
 *   w(v+1) = w(v) - lr (1 / W B) sum over W workers, B mini-batches of grad f(w(v))
 *
 * A version costs each worker one push and one pull of n floats. Staleness 0. The sum runs in
 * worker order, so its bits do not depend on who was first. Chen, Pan, Monga, Bengio, Jozefowicz
 * 2016, arXiv:1604.00981, section 2. */
#include "base/alloc.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

static void work(struct node *n)
{
    ps_work(n);
}

static void serve(struct node *n)
{
    struct ps_server *ps = ps_server_open(n);
    int workers = n->context->workers;
    double *scale = xcalloc((size_t)workers, sizeof *scale);
    ps_reply_all(ps);
    while (ps_collect(ps)) {
        int present = ps_present(ps);
        for (int i = 0; i < workers; i++)
            scale[i] = 1.0 / ((double)present * n->context->minibatches);
        ps_step(ps, scale);
        ps_reply_all(ps);
    }
    xfree(scale);
    ps_server_close(ps);
}

const struct scheme scheme_ssgd = {
    .name = "ssgd",
    .rule = "every worker a batch, the server waits for all: w -= lr x mean gradient",
    .paper = "Chen et al. 2016, arXiv:1604.00981",
    .flags = SYNC | EXACT | BOUNDED | PUSHES | COMPRESSES | LOCKSTEP,
    .messages = "W pushes, W pulls",
    .floats = "2 n",
    .staleness = "0",
    .work = work,
    .serve = serve,
};
