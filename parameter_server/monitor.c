/* Decentralised schemes: workers agree among themselves and report to rank 0, which counts,
 * evaluates and says when training is over.
 *
 * Where an update is one of all workers, its reply is sent when the update before was counted: so
 * nobody is more than two updates ahead of the slowest. It is held back where rank 0 will evaluate
 * that version or end training. Then all workers wait at that version, and the first one shows its
 * weights, or each its own where they differ. So limits by samples and by updates are exact. An
 * evaluation by the clock takes what they have. For a limit by seconds, and a learning rate that
 * follows it, the next update is taken to be as long as the last one. A signal to stop ends
 * training with the update that has begun. Where an update is one of one worker, that worker waits
 * for rank 0's reply, and for nobody else.
 *
 * Cost: two headers per worker and update. The weights come to rank 0 only when it evaluates: one
 * worker shows its own, which all share, or each does (or the workers train on rank 0's memory, and
 * nothing needs to come). */
#include <math.h>

#include "base/alloc.h"
#include "base/check.h"
#include "parameter_server/server.h"

static void reply_to_all(struct ps_server *ps)
{
    for (int i = 0; i < ps->workers; i++)
        ps_reply_unchanged(ps, i);
}

/* Lets the workers go on with the update after next, unless rank 0 will evaluate or end training
 * before that. Returns whether it did. The next update is expected to take `update_s`. Its samples
 * are known where all workers contribute a batch; where some give less, they are seldom
 * more. */
static bool reply_ahead(struct ps_server *ps, double update_s)
{
    const struct node *n = ps->n;
    const struct run_context *s = n->context;
    struct training_state next = node_training_state(n);
    next.version++;
    next.samples += (int64_t)s->workers * s->minibatches * s->minibatch;
    next.seconds += update_s;
    if (n->stop || node_stops_at(n, next))
        return false;
    for (int i = 0; i < ps->workers; i++)
        ps_reply_ahead(ps, i, next);
    return true;
}

/* After an evaluation all workers go on with the next update, unless training is over, or may be by
 * what the evaluation finds (--target): then they wait for that, at the version that the last
 * checkpoint has. The call to it goes first, so each takes part with the weights of this version.
 */
static void release(void *self)
{
    struct ps_server *ps = self;
    bool goes_on = !ps->n->stop && ps->n->context->options->target <= 0;
    if (goes_on)
        reply_to_all(ps);
    ps->replied = goes_on;
}

void ps_judge(struct ps_server *ps, struct weights_set set)
{
    ps->judged = set;
}

/* All workers have weights, and rank 0 has not. */
static void judge_workers(struct ps_server *ps)
{
    if (ps->judged.mean)
        node_set_evaluated(ps->n, ps->judged);
    node_evaluate_first(ps->n);
}

/* When the last worker sent its report: from then on all wait, if they wait. */
static double last_report_s(const struct ps_server *ps)
{
    double last_s = 0;
    for (int i = 0; i < ps->workers; i++)
        if (ps->worker[i].state == WORKER_PUSHED)
            last_s = fmax(last_s, net_header(ps->recv[RECV_PUSH + i])->sent_s);
    return last_s;
}

/* An update is what all workers report. Their replies are sent an update ahead, so that nobody
 * waits for one. How long the first one takes is not known: where seconds count, it is awaited. */
static void monitor_together(struct ps_server *ps)
{
    struct node *n = ps->n;
    double began_s = node_clock(n);
    ps_reply_all(ps);
    for (bool ahead = reply_ahead(ps, INFINITY); ps_collect(ps);) {
        n->ending = ahead ? END_NOT_HERE : END_BY_LIMITS;
        judge_workers(ps);
        node_waiting_since(n, last_report_s(ps));
        ps->replied = ahead;
        ps_close_version(ps);
        if (n->stop && ps->replied) { /* no number: what is under way is dropped */
            ps_collect(ps);
            for (int i = 0; i < ps->workers; i++)
                ps_discard(ps, i);
        }
        if (n->stop || !ps->replied)
            reply_to_all(ps);
        ahead = reply_ahead(ps, node_clock(n) - began_s);
        began_s = node_clock(n);
    }
}

/* An update is what one worker reports. Where workers have weights of their own, each first says
 * that it has them, by a report of nothing. */
static void monitor_each(struct ps_server *ps)
{
    int begun = 0;
    bool *has_begun = xcalloc((size_t)ps->workers, sizeof *has_begun);
    if (!ps->judged.mean)
        ps_go_on_without(ps);
    ps_reply_all(ps);
    for (const struct push *report; (report = ps_next(ps));) {
        int worker = report->worker;
        if (report->departed)
            continue;
        if (report->minibatches) {
            ps_close_version(ps);
        } else {
            ps_discard(ps, worker);
            begun += !has_begun[worker];
            if (!has_begun[worker] && begun == ps->workers)
                judge_workers(ps);
            has_begun[worker] = true;
        }
        ps_reply_unchanged(ps, worker);
    }
    xfree(has_begun);
}

void ps_monitor(struct ps_server *ps, bool together)
{
    if (!together) {
        monitor_each(ps);
        return;
    }
    node_on_evaluation(ps->n, release, ps);
    monitor_together(ps);
    node_on_evaluation(ps->n, NULL, NULL);
}
