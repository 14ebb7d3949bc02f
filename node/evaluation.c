/* Evaluation: the training clock is stopped, every rank takes a shard of the samples, rank 0 adds
 * the results in rank order.
 *
 *   rank 0                           the others
 *   PAUSE(version, set) ->           heard between two units, or while waiting
 *   SLICE ->, <- SLICE               weights, borrowed where they lie (node/weights_set.c)
 *   of each weights of the set:
 *   <- PARTIAL                       batch-norm sums over this rank's shard of the training
 *                                    mini-batches
 *   STATISTICS ->                    means and variances of all
 *   <- EVALUATION                    loss and hits over this rank's shard of the test images
 *   RESUME(seconds) ->               every rank goes on where it was; seconds: how long all had
 *                                    waited for what rank 0 prepared
 *
 * Cost: a copy of the set's weights to each rank of another host; a few headers else. */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "node/private.h"

void evaluator_open(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    size_t ranks = (size_t)n->net->ranks, statistics = (size_t)n->context->problem->statistics;
    e->sums = net_alloc(n->net, (statistics + 1) * sizeof *e->sums);
    e->statistics = net_alloc(n->net, (statistics + 1) * sizeof *e->statistics);
    e->sent = xcalloc(ranks, sizeof *e->sent);
    e->copies = xcalloc(ranks, sizeof *e->copies);
    e->set = (struct weights_set){.server = true};
    average_open(n);
    weights_set_open(n);
}

void evaluator_close(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    net_free(n->net, e->sums);
    net_free(n->net, e->statistics);
    xfree(e->sent);
    xfree(e->copies);
    weights_set_close(n);
    average_close(n);
}

/* Called after each mini-batch: messages move on. */
static void progress(void *self)
{
    net_poll(((struct node *)self)->net);
}

struct request *evaluation_receive(struct node *n, int from, int tag, void *into, size_t bytes)
{
    struct request *come = net_recv(n->net, from, tag, into, bytes);
    node_await(n, come, "its part in an evaluation", from);
    return come;
}

void evaluation_send(struct node *n, struct request **sent_to, const struct header *header,
                     const void *payload, size_t bytes)
{
    for (int r = 0; r < n->net->ranks; r++) {
        struct request *sent = r == n->rank ? NULL : net_send(n->net, r, header, payload, bytes);
        if (sent_to)
            sent_to[r] = sent;
    }
}

void evaluation_release(struct node *n, struct request **sent_to)
{
    for (int r = 0; r < n->net->ranks; r++) {
        node_await(n, sent_to[r], "a rank to take part in an evaluation", r);
        net_release(n->net, sent_to[r]);
        sent_to[r] = NULL;
    }
}

/* Means and variances at these weights, over all shards, at every rank. */
static void gather_statistics(struct node *n, struct weights w)
{
    struct problem *p = n->context->problem;
    const struct evaluator *e = &n->own->evaluator;
    double *sums = e->sums;
    size_t count = (size_t)p->statistics, bytes = count * sizeof *sums;
    memset(sums, 0, bytes);
    p->kind->statistics(p, w, n->rank, n->net->ranks, sums, progress, n);
    if (n->rank > 0) {
        struct request *sent =
            net_send(n->net, 0, &(struct header){.tag = TAG_PARTIAL}, sums, bytes);
        node_await(n, sent, "the sums of an evaluation", 0);
        net_release(n->net, sent);
        net_release(n->net,
                    evaluation_receive(n, 0, TAG_STATISTICS, e->statistics, count * sizeof(float)));
        return;
    }
    for (int r = 1; r < n->net->ranks; r++) {
        struct request *come = evaluation_receive(n, r, TAG_PARTIAL, NULL, 0);
        const double *theirs = net_data(come);
        CHECK(net_header(come)->bytes == bytes,
              "rank %d sent %llu bytes of sums, %zu were expected", r,
              (unsigned long long)net_header(come)->bytes, bytes);
        for (size_t i = 0; i < count; i++)
            sums[i] += theirs[i];
        net_release(n->net, come);
    }
    p->kind->finish_statistics(p, sums, e->statistics);
    evaluation_send(n, e->copies, &(struct header){.tag = TAG_STATISTICS}, e->statistics,
                    count * sizeof(float));
    evaluation_release(n, e->copies);
}

/* At rank 0 of all shards, elsewhere of this rank's. */
static struct loss gather_loss(struct node *n, struct weights w)
{
    struct problem *p = n->context->problem;
    struct loss loss = {0};
    p->kind->evaluate(p, w, n->own->evaluator.statistics, n->rank, n->net->ranks, &loss, progress,
                      n);
    if (n->rank > 0) {
        struct header header = {.tag = TAG_EVALUATION};
        header_pack(&header, loss);
        net_send(n->net, 0, &header, NULL, 0);
    }
    for (int r = 1; r < n->net->ranks && n->rank == 0; r++) {
        struct request *come = evaluation_receive(n, r, TAG_EVALUATION, NULL, 0);
        struct loss theirs;
        header_unpack(net_header(come), theirs);
        loss.top1 += theirs.top1;
        loss.top5 += theirs.top5;
        loss.sum += theirs.sum;
        net_release(n->net, come);
    }
    return loss;
}

static struct evaluation result_of(const struct node *n, const struct loss *loss)
{
    const struct evaluator *e = &n->own->evaluator;
    const struct problem *p = n->context->problem;
    double judged = (double)p->test_samples;
    return (struct evaluation){
        .seconds = n->own->clock.trained_s,
        .samples = n->samples,
        .updates = n->version,
        .loss = loss->sum / judged,
        .top1 = 100 * (double)loss->top1 / judged,
        .top5 = 100 * (double)loss->top5 / judged,
        .training_loss = e->training_samples ? e->training_loss / (double)e->training_samples : 0,
        .epoch = (double)n->samples / (double)p->training_samples,
    };
}

static void save(struct node *n, const float *w)
{
    struct evaluator *e = &n->own->evaluator;
    struct problem *p = n->context->problem;
    const char *path = n->context->options->save;
    if (!*path || p->kind->save(p, path, w, e->statistics) || e->save_failed)
        return;
    e->save_failed = true;
    fprintf(stderr, "nbsgd: cannot write the weights to %s (%s); training goes on\n", path,
            strerror(errno));
}

/* Rank 0: the row of the set's primary, dated with the update that made the weights, and these on
 * the disk; neither when the loss is no number. */
static void record_primary(struct node *n, const struct loss *loss, const float *w)
{
    struct evaluator *e = &n->own->evaluator;
    if (!isfinite(loss->sum)) {
        divergence_nan(n, NET_ANY);
        return;
    }
    e->last = result_of(n, loss);
    e->training_loss = 0;
    e->training_samples = 0;
    results_evaluation(n->context->results, &e->last);
    divergence_check(n);
    save(n, w);
}

/* All ranks judge these weights together; rank 0 records the result. */
static void judge(struct node *n, const struct candidate *c)
{
    const struct weights w = {c->w, problem_weights_version(n->context->problem)};
    gather_statistics(n, w);
    const struct loss loss = gather_loss(n, w);
    if (n->rank > 0)
        return;
    const struct evaluation result = result_of(n, &loss);
    if (c->number == 0)
        record_primary(n, &loss, c->w);
    else
        results_candidate(n->context->results, c->name, &result);
}

static void judge_set(struct node *n)
{
    struct candidate c = {.number = 0};
    weights_set_exchange(n);
    for (; weights_set_next(n, &c); c.number++)
        judge(n, &c);
    weights_set_release(n);
}

/* Rank 0 brings the weights up to date, and calls the others. Returns the seconds that it took, and
 * that all had waited for it: the clock is set back by them. */
static double prepare(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    double began_s = net_now(n->net);
    if (e->waiting_since_s > 0)
        began_s = fmin(began_s, e->waiting_since_s);
    e->waiting_since_s = 0;
    if (e->prepare)
        e->prepare(e->prepare_self);
    double took_s = net_now(n->net) - began_s;
    struct header header = {.tag = TAG_PAUSE, .version = n->races ? 0 : n->version};
    header_pack(&header, e->set);
    evaluation_send(n, NULL, &header, NULL, 0);
    if (e->called)
        e->called(e->called_self);
    return took_s;
}

/* Rank 0 ends the evaluation on all ranks. */
static void resume(struct node *n, double prepared_s)
{
    struct header header = {.tag = TAG_RESUME};
    header_pack(&header, prepared_s);
    evaluation_send(n, NULL, &header, NULL, 0);
}

/* The others wait for that. Returns the seconds that rank 0 prepared. */
static double await_resume(struct node *n)
{
    double prepared_s;
    struct request *come = evaluation_receive(n, 0, TAG_RESUME, NULL, 0);
    header_unpack(net_header(come), prepared_s);
    net_release(n->net, come);
    return prepared_s;
}

void evaluation_run(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    int64_t every = n->context->evaluate_every;
    double prepared_s = n->rank == 0 ? prepare(n) : 0, began_s = net_now(n->net) - prepared_s;
    judge_set(n);
    if (n->rank > 0)
        began_s -= await_resume(n);
    double stopped_s = net_now(n->net) - began_s;
    clock_stopped(n, began_s, stopped_s);
    n->counters.eval_s += stopped_s;
    e->current = true;
    e->next_samples = (n->samples / every + 1) * every;
    if (n->rank == 0)
        resume(n, prepared_s);
}

void node_on_evaluation(struct node *n, void (*called)(void *), void *self)
{
    n->own->evaluator.called = called;
    n->own->evaluator.called_self = self;
}

void node_waiting_since(struct node *n, double net_s)
{
    n->own->evaluator.waiting_since_s = net_s;
}

void node_before_evaluation(struct node *n, void (*prepare_weights)(void *), void *self)
{
    n->own->evaluator.prepare = prepare_weights;
    n->own->evaluator.prepare_self = self;
}

void node_set_evaluated(struct node *n, struct weights_set set)
{
    assert(n->rank == 0 && (set.mean || set.server || set.workers));
    assert(n->net->ranks > 1 || (set.server && !set.mean && !set.workers));
    set.average = n->own->evaluator.set.average;
    n->own->evaluator.set = set;
}
