/* Test images, judged once where evaluations judge held-out ones (--evaluate val): nothing that a
 * run or a study decides may depend on them, and they are wanted in the end nevertheless.
 *
 * Rank 0 keeps a copy of the primary weights of the last evaluation, and of their batch-norm
 * statistics. When training is over it judges them alone, shard by shard, so that the sums have
 * the bits of an evaluation by all ranks, in either world; the others have left by then, or wait
 * for it to take their counters. Cost: a copy of the weights an evaluation, and at the end as much
 * computing as one evaluation by one rank. A run that was asked to stop is not judged: it is not
 * over. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "node/private.h"

void last_images_open(struct node *n)
{
    const struct problem *p = n->context->problem;
    struct last_images *l = &n->own->last_images;
    l->result = (struct evaluation){.loss = NAN, .top1 = NAN, .top5 = NAN};
    l->samples = p->kind->last_samples ? p->kind->last_samples(p) : 0;
    if (!l->samples)
        return;
    l->w = xcalloc((size_t)n->count, sizeof *l->w);
    l->statistics = xcalloc((size_t)p->statistics + 1, sizeof *l->statistics);
}

void last_images_close(struct node *n)
{
    xfree(n->own->last_images.w);
    xfree(n->own->last_images.statistics);
}

void last_images_note(struct node *n, const float *w)
{
    struct last_images *l = &n->own->last_images;
    if (!l->w || node_forwards(n))
        return;
    memcpy(l->w, w, (size_t)n->count * sizeof *w);
    memcpy(l->statistics, n->own->evaluator.statistics,
           (size_t)n->context->problem->statistics * sizeof *l->statistics);
    l->noted = true;
}

static void act(struct node *n, int64_t done)
{
    int64_t minibatch = n->context->problem->minibatch;
    net_act(n->net,
            (struct net_activity){.pace = NET_STEPS,
                                  .what = "the test images",
                                  .number = done,
                                  .of = (n->own->last_images.samples + minibatch - 1) / minibatch});
}

static void progress(void *self)
{
    struct node *n = self;
    act(n, ++n->own->last_images.done);
    if (!n->context->nodes)
        net_poll(n->net);
    stop_attend(n);
}

void last_images_judge(struct node *n)
{
    struct last_images *l = &n->own->last_images;
    struct problem *p = n->context->problem;
    struct net_activity before = n->net->activity;
    const struct weights w = {l->w, problem_weights_version(p)};
    double judged = (double)l->samples, began_s = net_now(n->net);
    struct loss loss = {0};
    if (!l->noted || n->status == EXIT_STOPPED)
        return;
    act(n, 0);
    for (int shard = 0; shard < n->net->ranks; shard++) {
        struct loss more = {0};
        p->kind->evaluate_last(p, w, l->statistics, shard, n->net->ranks, &more, progress, n);
        loss.sum += more.sum;
        loss.top1 += more.top1;
        loss.top5 += more.top5;
    }
    l->result = (struct evaluation){.loss = loss.sum / judged,
                                    .top1 = 100 * (double)loss.top1 / judged,
                                    .top5 = 100 * (double)loss.top5 / judged};
    n->counters.eval_s += net_now(n->net) - began_s;
    net_act(n->net, before);
}
