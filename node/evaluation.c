/* Evaluation: the training clock is stopped, every rank takes a shard of the samples, rank 0 adds
 * the results in rank order.
 *
 *   rank 0                           the others
 *   CALL(version) ->                 heard between two units, or while waiting
 *   servers: SLICE ->                the weights, borrowed where they lie
 *   <- PARTIAL                       batch-norm sums over this rank's shard of the training
 *                                    mini-batches
 *   STATISTICS ->                    means and variances of all
 *   <- EVALUATION                    loss and hits over this rank's shard of the test images
 *   RESUME(seconds) ->               every rank goes on where it was; seconds: how long all had
 *                                    waited for what rank 0 prepared
 *
 * Cost: one copy of the weights to each rank of another host; a few headers else. */
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
    e->slices = xcalloc(ranks, sizeof *e->slices);
    e->copies = xcalloc(ranks, sizeof *e->copies);
    if (n->context->servers > 1 && n->net->ranks > 1)
        e->gathered = xcalloc((size_t)n->count, sizeof *e->gathered);
}

void evaluator_close(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    net_free(n->net, e->sums);
    net_free(n->net, e->statistics);
    xfree(e->slices);
    xfree(e->copies);
    xfree(e->gathered);
}

/* Called after each mini-batch: messages move on. */
static void progress(void *self)
{
    net_poll(((struct node *)self)->net);
}

static struct request *receive_from(struct node *n, int from, int tag, void *into, size_t bytes)
{
    struct request *come = net_recv(n->net, from, tag, into, bytes);
    node_await(n, come, "its part in an evaluation", from);
    return come;
}

/* Sends to every other rank; the requests are left in `given` (NULL: heads only) until
 * release_all(). */
static void send_to_all(struct node *n, struct request **sent_to, const struct header *head,
                        const void *payload, size_t bytes)
{
    for (int r = 0; r < n->net->ranks; r++) {
        struct request *sent = r == n->rank ? NULL : net_send(n->net, r, head, payload, bytes);
        if (sent_to)
            sent_to[r] = sent;
    }
}

static void release_all(struct node *n, struct request **sent_to)
{
    for (int r = 0; r < n->net->ranks; r++) {
        node_await(n, sent_to[r], "a rank to take part in an evaluation", r);
        net_release(n->net, sent_to[r]);
        sent_to[r] = NULL;
    }
}

static size_t slice_bytes(const struct node *n, int server)
{
    struct range s = node_slice(n, server);
    return (size_t)(s.to - s.from) * sizeof(float);
}

/* The whole weights at this rank: with one server they are borrowed from it (*loan), with several
 * they are gathered. */
static struct weights gather_weights(struct node *n, struct request **loan)
{
    int servers = n->context->servers;
    float *gathered = n->own->evaluator.gathered;
    const float *w = gathered ? gathered : n->w;
    if (n->worker < 0)
        send_to_all(n, n->own->evaluator.slices,
                    &(struct header){.tag = TAG_SLICE, .version = n->version},
                    n->w + node_slice(n, n->rank).from, slice_bytes(n, n->rank));
    for (int s = 0; s < servers && n->net->ranks > 1; s++) {
        int64_t from = node_slice(n, s).from;
        if (s == n->rank && gathered)
            memcpy(gathered + from, n->w + from, slice_bytes(n, s));
        if (s == n->rank)
            continue;
        *loan = receive_from(n, s, TAG_SLICE, gathered ? gathered + from : NULL, slice_bytes(n, s));
        if (gathered) {
            net_release(n->net, *loan);
            *loan = NULL;
        } else {
            w = net_data(*loan);
        }
    }
    return (struct weights){w, problem_weights_version(n->context->problem)};
}

static void gather_statistics(struct node *n, struct weights w)
{
    struct problem *p = n->context->problem;
    double *sums = n->own->evaluator.sums;
    size_t count = (size_t)p->statistics, bytes = count * sizeof *sums;
    memset(sums, 0, bytes);
    p->kind->statistics(p, w, n->rank, n->net->ranks, sums, progress, n);
    if (n->rank > 0) {
        struct request *sent =
            net_send(n->net, 0, &(struct header){.tag = TAG_PARTIAL}, sums, bytes);
        node_await(n, sent, "the sums of an evaluation", 0);
        net_release(n->net, sent);
        net_release(n->net, receive_from(n, 0, TAG_STATISTICS, n->own->evaluator.statistics,
                                         count * sizeof(float)));
        return;
    }
    for (int r = 1; r < n->net->ranks; r++) {
        struct request *come = receive_from(n, r, TAG_PARTIAL, NULL, 0);
        const double *theirs = net_data(come);
        CHECK(net_header(come)->bytes == bytes,
              "rank %d sent %llu bytes of sums, %zu were expected", r,
              (unsigned long long)net_header(come)->bytes, bytes);
        for (size_t i = 0; i < count; i++)
            sums[i] += theirs[i];
        net_release(n->net, come);
    }
    p->kind->finish_statistics(p, sums, n->own->evaluator.statistics);
    send_to_all(n, n->own->evaluator.copies, &(struct header){.tag = TAG_STATISTICS},
                n->own->evaluator.statistics, count * sizeof(float));
    release_all(n, n->own->evaluator.copies);
}

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
        struct request *come = receive_from(n, r, TAG_EVALUATION, NULL, 0);
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

/* Rank 0: the row, dated with the update that made the weights, and these on the disk; neither when
 * the loss is no number. */
static void record(struct node *n, const struct loss *loss, struct weights w)
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
    save(n, w.w);
}

static void judge(struct node *n)
{
    struct request *borrowed = NULL;
    struct weights w = gather_weights(n, &borrowed);
    gather_statistics(n, w);
    struct loss loss = gather_loss(n, w);
    net_release(n->net, borrowed);
    if (n->worker < 0)
        release_all(n, n->own->evaluator.slices);
    if (n->rank == 0)
        record(n, &loss, w);
}

/* Rank 0 brings the weights up to date, and calls the others. Returns the seconds that it took:
 * all waited, so the clock is set back by them. */
static double prepare(struct node *n)
{
    const struct evaluator *e = &n->own->evaluator;
    double began_s = net_now(n->net);
    if (e->prepare)
        e->prepare(e->prepare_self);
    double took_s = net_now(n->net) - began_s;
    send_to_all(n, NULL, &(struct header){.tag = TAG_PAUSE, .version = n->races ? 0 : n->version},
                NULL, 0);
    return took_s;
}

/* Ends the evaluation on all ranks. Returns the seconds that rank 0 prepared. */
static double resume(struct node *n, double prepared_s)
{
    if (n->rank == 0) {
        struct header header = {.tag = TAG_RESUME};
        header_pack(&header, prepared_s);
        send_to_all(n, NULL, &header, NULL, 0);
        return prepared_s;
    }
    struct request *come = receive_from(n, 0, TAG_RESUME, NULL, 0);
    header_unpack(net_header(come), prepared_s);
    net_release(n->net, come);
    return prepared_s;
}

void evaluation_run(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    int64_t every = n->context->evaluate_every;
    double prepared_s = n->rank == 0 ? prepare(n) : 0, began_s = net_now(n->net) - prepared_s;
    judge(n);
    began_s -= resume(n, prepared_s) - prepared_s;
    double stopped_s = net_now(n->net) - began_s;
    n->own->clock.stopped_s += stopped_s;
    n->counters.eval_s += stopped_s;
    e->current = true;
    e->next_samples = (n->samples / every + 1) * every;
}

void node_before_evaluation(struct node *n, void (*prepare_weights)(void *), void *self)
{
    n->own->evaluator.prepare = prepare_weights;
    n->own->evaluator.prepare_self = self;
}
