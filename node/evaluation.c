/* Evaluation: the training clock is stopped, every rank takes a shard of the samples, rank 0 adds
 * the results in rank order.
 *
 *   rank 0                           the others
 *   PAUSE(version, set) ->           heard between two units, or while waiting; where it says that
 *                                    rank 0 only saves, RESUME comes after the weights
 *   SLICE ->, <- SLICE               weights, borrowed where they lie (node/weights_set.c)
 *   of each weights of the set:
 *   <- PARTIAL                       batch-norm sums over this rank's shard of the training
 *                                    mini-batches
 *   STATISTICS ->                    means and variances of all
 *   <- EVALUATION                    loss and hits over this rank's shard of the test images
 *   RESUME(seconds) ->               every rank goes on where it was; seconds: how long all had
 *                                    waited for what rank 0 prepared
 *
 * Cost: a copy of the set's weights to each rank of another host; a few headers else. Messages of
 * the training that are under way move on meanwhile, though the clock stands.
 *
 * On the simulated network rank 0 judges alone, in an instant: it reads the others' weights where
 * they lie, and does all shards one after the other, so that the sums have the same bits. No
 * message is sent and no time passes: what is under way needs as long after it as before. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/squares.h"
#include "base/wall_clock.h"
#include "node/private.h"

void evaluator_open(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    size_t statistics = (size_t)n->context->problem->statistics;
    e->set = (struct weights_set){.server = true};
    e->moments.next = n->context->options->eval_seconds > 0;
    average_open(n);
    if (n->rank == 0) {
        saving_open(n);
        last_images_open(n);
    }
    if (n->context->nodes && n->rank > 0)
        return;
    n->own->participation.called =
        xcalloc((size_t)n->net->ranks, sizeof *n->own->participation.called);
    e->sums = net_alloc(n->net, (statistics + 1) * sizeof *e->sums);
    e->statistics = net_alloc(n->net, (statistics + 1) * sizeof *e->statistics);
    weights_set_open(n);
}

void evaluator_close(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    net_free(n->net, e->sums);
    net_free(n->net, e->statistics);
    xfree(e->sent);
    xfree(e->copies);
    xfree(n->own->participation.called);
    weights_set_close(n);
    average_close(n);
    last_images_close(n);
}

static void act(struct node *n)
{
    const struct participation *p = &n->own->participation;
    net_act(n->net,
            (struct net_activity){
                .pace = NET_STEPS, .what = "evaluation", .number = p->done + 1, .of = p->all});
}

/* Called after each mini-batch: messages move on, but in an instant. */
static void progress(void *self)
{
    struct node *n = self;
    n->own->participation.done++;
    act(n);
    if (!n->context->nodes)
        net_poll(n->net);
    stop_attend(n);
}

/* That message, whose payload has so many bytes. */
static struct request *checked(struct request *come, size_t bytes)
{
    const struct header *m = net_header(come);
    CHECK(m->bytes == bytes, "rank %d sent %llu bytes of an evaluation (tag %d), %zu were expected",
          m->from, (unsigned long long)m->bytes, m->tag, bytes);
    return come;
}

struct request *evaluation_receive(struct node *n, int from, int tag, void *into, size_t bytes)
{
    struct request *come = net_recv(n->net, from, tag, into, into ? bytes : 0);
    node_await(n, come, "its part in an evaluation", from);
    return checked(come, bytes);
}

/* Rank 0: what that rank has computed, as a message of this evaluation. One that was absent in the
 * middle of an earlier one may still answer that: dropped. NULL: it is absent. */
static struct request *receive_part(struct node *n, int from, int tag, size_t bytes)
{
    while (n->own->participation.called[from]) {
        struct request *come = net_recv(n->net, from, tag, NULL, 0);
        bool has_come = node_await(n, come, "its part in an evaluation", from);
        if (has_come && net_header(come)->count == n->own->participation.number)
            return checked(come, bytes);
        net_release(n->net, come);
        if (!has_come)
            break;
    }
    return NULL;
}

void evaluation_send(struct node *n, struct request ***sent_to, const struct header *header,
                     const void *payload, size_t bytes)
{
    if (sent_to && !*sent_to)
        *sent_to = xcalloc((size_t)n->net->ranks, sizeof **sent_to);
    for (int r = 0; r < n->net->ranks; r++) {
        bool to = r != n->rank && (n->rank > 0 || n->own->participation.called[r]);
        struct request *sent = to ? net_send(n->net, r, header, payload, bytes) : NULL;
        if (sent_to)
            (*sent_to)[r] = sent;
    }
}

void evaluation_release(struct node *n, struct request **sent_to)
{
    for (int r = 0; sent_to && r < n->net->ranks; r++) {
        /* an absent rank may read it at any time: it is never released */
        if (node_await(n, sent_to[r], "a rank to take part in an evaluation", r))
            net_release(n->net, sent_to[r]);
        sent_to[r] = NULL;
    }
}

/* Means and variances at these weights, over all shards, at every rank. */
static void gather_statistics(struct node *n, struct weights w)
{
    struct problem *p = n->context->problem;
    struct evaluator *e = &n->own->evaluator;
    double *sums = e->sums;
    size_t count = (size_t)p->statistics, bytes = count * sizeof *sums;
    bool all = n->context->nodes;
    memset(sums, 0, bytes);
    p->kind->statistics(p, w, all ? 0 : n->rank, all ? 1 : n->net->ranks, sums, progress, n);
    if (n->rank > 0) {
        const struct header header = {.tag = TAG_PARTIAL, .count = n->own->participation.number};
        struct request *sent = net_send(n->net, 0, &header, sums, bytes);
        node_await(n, sent, "the sums of an evaluation", 0);
        net_release(n->net, sent);
        net_release(n->net,
                    evaluation_receive(n, 0, TAG_STATISTICS, e->statistics, count * sizeof(float)));
        return;
    }
    for (int r = 1; r < n->net->ranks && !all; r++) {
        struct request *come = receive_part(n, r, TAG_PARTIAL, bytes);
        if (!come) {
            p->kind->statistics(p, w, r, n->net->ranks, sums, progress, n);
            continue;
        }
        const double *theirs = net_data(come);
        for (size_t i = 0; i < count; i++)
            sums[i] += theirs[i];
        net_release(n->net, come);
    }
    p->kind->finish_statistics(p, sums, e->statistics);
    if (all)
        return;
    evaluation_send(n, &e->copies, &(struct header){.tag = TAG_STATISTICS}, e->statistics,
                    count * sizeof(float));
    evaluation_release(n, e->copies);
}

/* What rank r says of its shard. */
static void check_loss(const struct node *n, int r, const struct loss *loss)
{
    int64_t judged = n->context->problem->test_samples;
    CHECK(loss->top1 >= 0 && loss->top1 <= judged && loss->top5 >= 0 && loss->top5 <= judged,
          "rank %d found %lld and %lld of %lld samples right", r, (long long)loss->top1,
          (long long)loss->top5, (long long)judged);
}

static struct loss loss_of_shard(struct node *n, struct weights w, int shard)
{
    struct problem *p = n->context->problem;
    struct loss loss = {0};
    p->kind->evaluate(p, w, n->own->evaluator.statistics, shard, n->net->ranks, &loss, progress, n);
    return loss;
}

static void add_loss(struct loss *to, struct loss more)
{
    to->top1 += more.top1;
    to->top5 += more.top5;
    to->sum += more.sum;
}

/* At rank 0 of all shards, elsewhere of this rank's. */
static struct loss gather_loss(struct node *n, struct weights w)
{
    const size_t bytes = confusion_begin(n);
    struct loss loss = loss_of_shard(n, w, n->rank);
    for (int r = 1; r < n->net->ranks && n->context->nodes; r++)
        add_loss(&loss, loss_of_shard(n, w, r));
    if (n->context->nodes)
        return loss;
    if (n->rank > 0) {
        struct header header = {.tag = TAG_EVALUATION, .count = n->own->participation.number};
        header_pack(&header, loss);
        confusion_send(n, &header);
    }
    for (int r = 1; r < n->net->ranks && n->rank == 0; r++) {
        struct request *come = receive_part(n, r, TAG_EVALUATION, bytes);
        struct loss theirs;
        if (come)
            header_unpack(net_header(come), theirs);
        else
            theirs = loss_of_shard(n, w, r);
        check_loss(n, r, &theirs);
        add_loss(&loss, theirs);
        confusion_add(n, come);
        net_release(n->net, come);
    }
    return loss;
}

static struct evaluation result_of(const struct node *n, const struct loss *loss, double seconds)
{
    const struct evaluator *e = &n->own->evaluator;
    const struct problem *p = n->context->problem;
    double judged = (double)p->test_samples;
    return (struct evaluation){
        .seconds = seconds,
        .samples = n->samples,
        .updates = n->version,
        .loss = loss->sum / judged,
        .top1 = 100 * (double)loss->top1 / judged,
        .top5 = 100 * (double)loss->top5 / judged,
        .training_loss = e->training_samples ? e->training_loss / (double)e->training_samples
                                             : e->last.training_loss,
        .epoch = (double)n->samples / (double)p->training_samples,
    };
}

static double norm_of(struct node *n, const float *w)
{
    struct squares squares = {.bad = 0};
    if (!node_forwards(n))
        squares_add(&squares, w, n->count, n->context->threads);
    return node_number(n, squares_norm(&squares));
}

static void record_row(struct node *n, const struct loss *loss, double norm, double seconds)
{
    struct evaluator *e = &n->own->evaluator;
    e->last = result_of(n, loss, seconds);
    e->last.weight_norm = norm;
    e->training_loss = 0;
    e->training_samples = 0;
    results_evaluation(n->context->results, &e->last);
    worker_losses_record(n);
    divergence_check(n);
}

/* Rank 0: the rows of the set's primary, and its weights on the disk; neither when the loss is no
 * number. Each moment that is due gets a row with its own time; a called evaluation one with the
 * time of the update that made the weights. Times never fall. */
static void record_primary(struct node *n, const struct loss *loss, const float *w, bool called)
{
    struct evaluator *e = &n->own->evaluator;
    double made_s = n->own->clock.trained_s;
    if (!isfinite(loss->sum)) {
        divergence_nan(n, NET_ANY);
        return;
    }
    double norm = norm_of(n, w);
    for (; e->moments.due; e->moments.due--) {
        double moment_s = moments_of(n, e->moments.next++);
        if (!called || moment_s > made_s)
            record_row(n, loss, norm, fmax(moment_s, made_s));
    }
    if (called)
        record_row(n, loss, norm, fmax(made_s, e->last.seconds));
    confusion_record(n);
    last_images_note(n, w);
    saving_judged(n, w);
}

/* Over all shards, at every rank its own; in a forwarded run as it was then. */
static struct loss evaluate(struct node *n, struct weights w)
{
    struct loss loss = {0};
    if (!node_forwards(n)) {
        gather_statistics(n, w);
        loss = gather_loss(n, w);
    }
    loss.sum = node_number(n, loss.sum);
    loss.top1 = (int64_t)node_number(n, (double)loss.top1);
    loss.top5 = (int64_t)node_number(n, (double)loss.top5);
    return loss;
}

/* All ranks judge these weights together; rank 0 records the result. */
static void judge(struct node *n, const struct candidate *c, bool called)
{
    const struct weights w = {c->w, problem_weights_version(n->context->problem)};
    const struct loss loss = evaluate(n, w);
    if (n->rank > 0)
        return;
    const struct evaluation result = result_of(n, &loss, n->own->evaluator.last.seconds);
    if (c->own)
        consensus_judged(n, result.top1);
    if (c->number == 0)
        record_primary(n, &loss, c->w, called);
    else
        results_candidate(n->context->results, c->name, &result);
}

static void judge_set(struct node *n, bool called)
{
    struct stopping *s = &n->own->stopping;
    struct candidate c = {.number = 0};
    if (s->only_saves) {
        if (n->rank == 0 && weights_set_next(n, &c))
            saving_last(n, c.w);
        return;
    }
    for (; weights_set_next(n, &c); c.number++) {
        s->judged = c.number ? NULL : c.w;
        judge(n, &c, called);
    }
    s->judged = NULL;
    consensus_record(n);
}

/* Rank 0 brings the weights up to date. Returns the seconds that it took, and that all had waited
 * for an evaluation that was called: the clock is set back by them. Of another evaluation that was
 * meanwhile it has stood still already. */
static double prepare(struct node *n, bool called)
{
    struct evaluator *e = &n->own->evaluator;
    double began_s = net_now(n->net), waited_s = 0;
    if (called && e->waiting_since_s > 0)
        waited_s = fmax(node_clock(n) - node_clock_then(n, e->waiting_since_s), 0);
    e->waiting_since_s = 0;
    if (e->prepare)
        e->prepare(e->prepare_self);
    return net_now(n->net) - began_s + waited_s;
}

/* Rank 0 calls the others to take part. Where a moment calls they do at once. */
static void call(struct node *n, bool called)
{
    struct evaluator *e = &n->own->evaluator;
    struct header header = {.tag = TAG_PAUSE,
                            .flags = n->own->stopping.only_saves ? PAUSE_SAVES : 0,
                            .version = n->races || !called ? 0 : n->version,
                            .count = ++n->own->participation.number};
    header_pack(&header, e->set);
    for (int r = 0; r < n->net->ranks; r++)
        n->own->participation.called[r] = !node_is_absent(n, r);
    if (!n->context->nodes)
        evaluation_send(n, NULL, &header, NULL, 0);
    if (called && e->called)
        e->called(e->called_self);
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
    CHECK(isfinite(prepared_s), "rank 0 prepared an evaluation for %g s", prepared_s);
    net_release(n->net, come);
    return prepared_s;
}

static void note_called(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    int64_t every = node_limits(n).evaluate_every;
    e->current = true;
    e->next_samples = (n->samples / every + 1) * every;
}

static void stop_clock(struct node *n, double seconds)
{
    clock_stopped(n, net_now(n->net) - seconds, seconds);
    n->counters.eval_s += seconds;
}

/* Rank 0 on the simulated network, alone. */
static void run_in_an_instant(struct node *n, bool called)
{
    double prepared_s = prepare(n, called);
    for (int r = 0; r < n->net->ranks; r++)
        stop_clock(n->context->nodes[r], prepared_s);
    call(n, called);
    weights_set_look(n);
    judge_set(n, called);
}

static void run_together(struct node *n, bool called)
{
    double prepared_s = n->rank == 0 ? prepare(n, called) : 0,
           began_s = net_now(n->net) - prepared_s;
    if (n->rank == 0)
        call(n, called);
    weights_set_exchange(n);
    judge_set(n, called);
    weights_set_release(n);
    if (n->rank > 0)
        began_s -= await_resume(n);
    stop_clock(n, net_now(n->net) - began_s);
    if (n->rank == 0)
        resume(n, prepared_s);
}

/* Mini-batches of both rounds in this rank's shard; of all weights of a set as many. */
static int64_t minibatches_of(const struct node *n)
{
    const struct problem *p = n->context->problem;
    int64_t ranks = n->net->ranks,
            judged = (p->test_samples + p->minibatch - 1) / (p->minibatch ? p->minibatch : 1);
    return (p->statistics_batches + ranks - 1 - n->rank) / ranks +
           (judged + ranks - 1 - n->rank) / ranks;
}

static void run(struct node *n, bool called)
{
    if (n->context->nodes)
        run_in_an_instant(n, called);
    else
        run_together(n, called);
}

void evaluation_run(struct node *n, bool called)
{
    struct evaluator *e = &n->own->evaluator;
    struct net_activity before = n->net->activity;
    double began_s = wall_s();
    if (n->rank == 0)
        e->moments.due = moments_due(n);
    n->own->participation.done = 0;
    n->own->participation.all = minibatches_of(n);
    act(n);
    run(n, called);
    n->own->stopping.took_s = wall_s() - began_s;
    if (called)
        note_called(n);
    net_act(n->net, before);
}

void evaluation_save(struct node *n)
{
    n->own->stopping.only_saves = true;
    run(n, false);
    n->own->stopping.only_saves = false;
}

bool evaluation_save_judged(struct node *n)
{
    if (n->own->stopping.judged)
        saving_last(n, n->own->stopping.judged);
    return n->own->stopping.judged;
}

void node_show(struct node *n, const float *w)
{
    n->own->evaluator.shown = w;
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
