/* A signal asks the run to stop (main.c). Any rank may be asked: it tells rank 0, which stops all.
 *
 * What was learned comes first: rank 0 writes --save at once, wherever it waits, with batch-norm
 * statistics of the last evaluation. Then the run ends with its next update, as it would at its
 * limit, and is evaluated if the last evaluation took less than what is left of --stop-within.
 * Where no update comes for some seconds (a delay, a long batch) rank 0 does all that in the middle
 * of one, and ends the others without their counters. On the simulated network any rank notices
 * this for rank 0, whose clock may not go on: wherever it waits, and after each unit that is
 * computed. A thousand ranks that are to come to their end would compute for minutes: there rank 0
 * does not wait for them either. */
#define _GNU_SOURCE
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/signal_name.h"
#include "base/wall_clock.h"
#include "node/private.h"

/* in which the next update is awaited, and a checkpoint that is being written */
static const double update_s = 5;

void stop_open(struct node *n)
{
    if (n->rank == 0 && !n->context->nodes && n->net->ranks > 1)
        n->own->stopping.asked = net_recv(n->net, NET_ANY, TAG_ASKED, NULL, 0);
}

void stop_close(struct node *n)
{
    net_release(n->net, n->own->stopping.asked);
    n->own->stopping.asked = NULL;
    n->own->stopping.over = true;
}

struct request *stop_request(const struct node *n)
{
    return n->own->stopping.signal ? NULL : n->own->stopping.asked;
}

/* Rank 0: says who was asked, once. */
static void hear(struct node *n, int rank, int signal)
{
    struct stopping *s = &n->own->stopping;
    const char *name = signal_name(signal), *job = getenv("SLURM_JOB_ID");
    CHECK(signal > 0 && signal < NSIG, "rank %d says that signal %d has come", rank, signal);
    s->signal = signal;
    s->since_s = wall_s();
    fprintf(stderr, "nbsgd: rank %d on %s%s%s was asked to stop by SIG%s: saves and ends\n", rank,
            net_host(n->net, rank), job ? ", job " : "", job ? job : "", name ? name : "?");
    results_event(n->context->results, "stopped", node_clock(n),
                  JSON_FIELDS(JSON_TEXT("by", "signal"), JSON_TEXT("signal", name ? name : "?"),
                              JSON_INT("rank", rank)));
}

bool stop_is_asked(struct node *n)
{
    struct stopping *s = &n->own->stopping;
    if (s->signal)
        return true;
    if (*n->context->stop_requested)
        hear(n, 0, *n->context->stop_requested);
    else if (s->asked && net_wait(n->net, &s->asked, 1, 0) == 0)
        hear(n, net_header(s->asked)->from, (int)net_header(s->asked)->count);
    return s->signal;
}

static double left_s(const struct node *n)
{
    return n->context->options->stop_within - (wall_s() - n->own->stopping.since_s);
}

bool stop_has_time(const struct node *n)
{
    return n->own->stopping.took_s < left_s(n);
}

/* No update has come; or, when training is over, not all counters. Another simulated rank may do
 * this for rank 0, but cannot bring its weights up to date. */
static _Noreturn void leave(struct node *n, bool itself)
{
    bool evaluates = n->own->control.evaluating, over = n->own->stopping.over, ends = n->stop;
    if (node_forwards(n))
        die(EXIT_STOPPED, "stopped before it was where it is resumed from");
    n->own->stopping.leaves = true;
    n->stop = true;
    n->status = EXIT_STOPPED;
    if (!itself)
        node_before_evaluation(n, NULL, NULL);
    if (!evaluates && !over)
        control_save(n);
    if (!evaluates && !over && !n->own->evaluator.current && stop_has_time(n))
        control_evaluate(n);
    if (!over) /* else it has been waited for */
        keeping_await(n, update_s);
    if (!node_finish_results(n) && n->status == EXIT_STOPPED)
        n->status = EXIT_UNWRITTEN;
    die(n->status, "stopped in the middle of %s",
        evaluates && !over ? "an evaluation"
        : ends             ? "the end"
                           : "an update");
}

/* Any other rank of the real world. */
static void tell(struct node *n)
{
    struct stopping *s = &n->own->stopping;
    int signal = *n->context->stop_requested;
    if (!s->signal && signal)
        net_send(n->net, 0, &(struct header){.tag = TAG_ASKED, .count = signal}, NULL, 0);
    s->signal = signal;
}

/* Rank 0, or, simulated, whoever notices for it. */
static void attend(struct node *first, bool itself)
{
    struct stopping *s = &first->own->stopping;
    const bool evaluates = first->own->control.evaluating, simulated = first->context->nodes,
               is_up_to_date = !simulated || !first->own->evaluator.prepare;
    if (s->leaves || !stop_is_asked(first))
        return;
    if (!s->saved && evaluates)
        s->saved = evaluation_save_judged(first);
    else if (!s->saved && !first->stop && is_up_to_date)
        control_save(first);
    double within_s = first->context->options->stop_within;
    bool awaits_all = evaluates || (first->stop && !simulated);
    double limit_s = awaits_all ? within_s : fmin(update_s, within_s);
    if (within_s - left_s(first) > limit_s)
        leave(first, itself);
}

void stop_attend(struct node *n)
{
    struct node *const *nodes = n->context->nodes;
    if (!nodes && n->rank > 0)
        tell(n);
    else if (!nodes || nodes[0]) /* else it has closed */
        attend(nodes ? nodes[0] : n, !nodes || nodes[0] == n);
}

void stop_listen(void *context, const char *what)
{
    const struct run_context *c = context;
    if (!what && c->nodes && c->nodes[0])
        attend(c->nodes[0], false);
}
