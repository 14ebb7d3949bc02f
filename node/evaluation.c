/* Evaluation: the training clock stands, every rank takes a share, rank 0 adds the shares in rank
 * order.
 *
 *   rank 0                           the others
 *   PAUSE(version) ->                heard between two units, or while waiting
 *   servers: SLICE ->                the weights, borrowed where they lie
 *   <- PARTIAL                       batch-norm sums over this rank's share of the training
 *                                    mini-batches
 *   STATISTICS ->                    means and variances of all
 *   <- SCORE                         loss and hits over this rank's share of the test images
 *   RESUME(seconds) ->               everybody goes on where he was; so long all had waited for
 *                                    what rank 0 brought before (bring)
 *
 * Cost: one copy of the weights to each rank of another host; a few heads else. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/check.h"
#include "node/private.h"

static void breathe(void *self)
{
    net_poll(((struct node *)self)->net);
}

static struct request *hear_from(struct node *n, int from, int tag, void *into, size_t bytes)
{
    struct request *come = net_recv(n->net, from, tag, into, bytes);
    node_await(n, come, "its part in an evaluation", from);
    return come;
}

/* Sends to every other rank; the requests are left in `given` (NULL: heads only) until
 * take_back(). */
static void give_all(struct node *n, struct request **given, const struct header *head,
                     const void *payload, size_t bytes)
{
    for (int r = 0; r < n->net->ranks; r++) {
        struct request *sent = r == n->rank ? NULL : net_send(n->net, r, head, payload, bytes);
        if (given)
            given[r] = sent;
    }
}

static void take_back(struct node *n, struct request **given)
{
    for (int r = 0; r < n->net->ranks; r++) {
        node_await(n, given[r], "a rank to take part in an evaluation", r);
        net_release(n->net, given[r]);
        given[r] = NULL;
    }
}

static size_t slice_bytes(const struct node *n, int server)
{
    struct range s = node_slice(n, server);
    return (size_t)(s.to - s.from) * sizeof(float);
}

/* The whole weights at this rank: with one server they are borrowed from it (*loan), with several
 * they are gathered. */
static struct weights share_weights(struct node *n, struct request **loan)
{
    int servers = n->context->servers;
    float *gathered = n->own->gathered;
    const float *w = gathered ? gathered : n->w;
    if (n->worker < 0)
        give_all(n, n->own->slices, &(struct header){.tag = TAG_SLICE, .version = n->version},
                 n->w + node_slice(n, n->rank).from, slice_bytes(n, n->rank));
    for (int s = 0; s < servers && n->net->ranks > 1; s++) {
        int64_t from = node_slice(n, s).from;
        if (s == n->rank && gathered)
            memcpy(gathered + from, n->w + from, slice_bytes(n, s));
        if (s == n->rank)
            continue;
        *loan = hear_from(n, s, TAG_SLICE, gathered ? gathered + from : NULL, slice_bytes(n, s));
        if (gathered) {
            net_release(n->net, *loan);
            *loan = NULL;
        } else {
            w = net_data(*loan);
        }
    }
    return (struct weights){w, problem_weights_version(n->context->problem)};
}

static void share_statistics(struct node *n, struct weights w)
{
    struct problem *p = n->context->problem;
    double *sums = n->own->sums;
    size_t count = (size_t)p->statistics, bytes = count * sizeof *sums;
    memset(sums, 0, bytes);
    p->kind->statistics(p, w, n->rank, n->net->ranks, sums, breathe, n);
    if (n->rank > 0) {
        struct request *sent =
            net_send(n->net, 0, &(struct header){.tag = TAG_PARTIAL}, sums, bytes);
        node_await(n, sent, "the sums of an evaluation", 0);
        net_release(n->net, sent);
        net_release(n->net,
                    hear_from(n, 0, TAG_STATISTICS, n->own->statistics, count * sizeof(float)));
        return;
    }
    for (int r = 1; r < n->net->ranks; r++) {
        struct request *come = hear_from(n, r, TAG_PARTIAL, NULL, 0);
        const double *theirs = net_data(come);
        CHECK(net_header(come)->bytes == bytes,
              "rank %d sent %llu bytes of sums, %zu were expected", r,
              (unsigned long long)net_header(come)->bytes, bytes);
        for (size_t i = 0; i < count; i++)
            sums[i] += theirs[i];
        net_release(n->net, come);
    }
    p->kind->finish_statistics(p, sums, n->own->statistics);
    give_all(n, n->own->copies, &(struct header){.tag = TAG_STATISTICS}, n->own->statistics,
             count * sizeof(float));
    take_back(n, n->own->copies);
}

static struct loss share_score(struct node *n, struct weights w)
{
    struct problem *p = n->context->problem;
    struct loss loss = {0};
    p->kind->evaluate(p, w, n->own->statistics, n->rank, n->net->ranks, &loss, breathe, n);
    if (n->rank > 0) {
        struct header header = {.tag = TAG_EVALUATION};
        header_pack(&header, loss);
        net_send(n->net, 0, &header, NULL, 0);
    }
    for (int r = 1; r < n->net->ranks && n->rank == 0; r++) {
        struct request *come = hear_from(n, r, TAG_EVALUATION, NULL, 0);
        struct loss theirs;
        header_unpack(net_header(come), theirs);
        loss.top1 += theirs.top1;
        loss.top5 += theirs.top5;
        loss.sum += theirs.sum;
        net_release(n->net, come);
    }
    return loss;
}

/* Rank 0: the row, dated with the update that made the weights, and these on the disk; neither when
 * they are worth nothing. */
static void record(struct node *n, const struct loss *loss, struct weights w)
{
    if (!isfinite(loss->sum)) {
        node_diverged(n, NET_ANY);
        return;
    }
    struct node_private *own = n->own;
    const struct options *o = n->context->options;
    struct problem *p = n->context->problem;
    double scored = (double)p->test_samples;
    own->evaluation = (struct evaluation){
        .seconds = own->trained_s,
        .samples = n->samples,
        .updates = n->version,
        .loss = loss->sum / scored,
        .top1 = 100 * (double)loss->top1 / scored,
        .top5 = 100 * (double)loss->top5 / scored,
        .training_loss =
            own->training_samples ? own->training_loss / (double)own->training_samples : 0,
        .epoch = (double)n->samples / (double)p->training_samples};
    own->training_loss = 0;
    own->training_samples = 0;
    results_evaluation(n->context->results, &own->evaluation);
    node_guard(n);
    if (*o->save && !p->kind->save(p, o->save, w.w, own->statistics) && !own->save_failed) {
        own->save_failed = true;
        fprintf(stderr, "nbsgd: cannot write the weights to %s (%s); training goes on\n", o->save,
                strerror(errno));
    }
}

void node_join_evaluation(struct node *n)
{
    double began = net_now(n->net) - n->own->brought_s;
    struct request *loan = NULL;
    struct weights w = share_weights(n, &loan);
    share_statistics(n, w);
    struct loss loss = share_score(n, w);
    net_release(n->net, loan);
    if (n->worker < 0)
        take_back(n, n->own->slices);
    if (n->rank == 0) {
        record(n, &loss, w);
        struct header resume = {.tag = TAG_RESUME};
        header_pack(&resume, n->own->brought_s);
        give_all(n, NULL, &resume, NULL, 0);
        n->own->brought_s = 0;
    } else {
        struct request *come = hear_from(n, 0, TAG_RESUME, NULL, 0);
        double brought_s;
        header_unpack(net_header(come), brought_s);
        began -= brought_s;
        net_release(n->net, come);
    }
    double stood = net_now(n->net) - began;
    n->own->paused_s += stood;
    n->counters.eval_s += stood;
}

void node_before_evaluation(struct node *n, void (*bring)(void *), void *self)
{
    n->own->bring = bring;
    n->own->bringer = self;
}

void node_evaluate(struct node *n)
{
    if (n->own->evaluated)
        return;
    double began = net_now(n->net);
    if (n->own->bring)
        n->own->bring(n->own->bringer);
    n->own->brought_s = net_now(n->net) - began;
    give_all(n, NULL, &(struct header){.tag = TAG_PAUSE, .version = n->races ? 0 : n->version},
             NULL, 0);
    node_join_evaluation(n);
    n->own->evaluated = true;
    int64_t every = n->context->evaluate_every;
    n->own->next_evaluation = (n->samples / every + 1) * every;
}
