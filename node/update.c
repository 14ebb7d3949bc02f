/* After an update of the weights: it is counted and reported. Rank 0 decides whether an evaluation
 * is due and whether training is over. */
#include <math.h>

#include "base/check.h"
#include "node/private.h"

struct training_state node_training_state(const struct node *n)
{
    return (struct training_state){n->version, n->samples, node_clock(n)};
}

struct limits node_limits(const struct node *n)
{
    const struct run_context *c = n->context;
    if (node_forwards(n))
        return c->course->limits;
    return (struct limits){.seconds = c->options->seconds,
                           .updates = c->options->updates,
                           .samples = c->samples_wanted,
                           .evaluate_every = c->evaluate_every};
}

static double done_at(const struct node *n, struct training_state at)
{
    const struct limits l = node_limits(n);
    double done = (double)at.samples / (double)l.samples;
    if (l.seconds > 0)
        done = fmax(done, at.seconds / l.seconds);
    if (l.updates > 0)
        done = fmax(done, (double)at.version / (double)l.updates);
    return fmin(done, 1);
}

double node_done(const struct node *n)
{
    return done_at(n, node_training_state(n));
}

double node_lr_at(const struct node *n, struct training_state at)
{
    return schedule_at(&n->context->schedule, done_at(n, at));
}

double node_lr(const struct node *n)
{
    return node_lr_at(n, node_training_state(n));
}

static bool has_reached_target(const struct node *n)
{
    double target = n->context->options->target;
    return target > 0 && n->own->evaluator.last.top1 >= target;
}

bool node_stops_at(const struct node *n, struct training_state at)
{
    return at.samples >= n->own->evaluator.next_samples || done_at(n, at) >= 1 ||
           has_reached_target(n) || n->own->stop_heard;
}

/* When the newest version was made: as soon as all workers wait, not when rank 0 comes to count
 * it. An evaluation sets the clock back to then, and times must not fall. */
static double made_s(const struct node *n)
{
    double since_s = n->own->evaluator.waiting_since_s;
    return since_s > 0 ? fmin(node_clock_then(n, since_s), node_clock(n)) : node_clock(n);
}

/* `lr`: the update's own. */
static void report(struct node *n, const struct update *u, double lr)
{
    struct results *r = n->context->results;
    double mean = u->samples ? u->loss / (double)u->samples : NAN;
    const struct json_field fields[] = {
        JSON_INT("version", n->version),
        JSON_INT("minibatches", u->minibatches),
        JSON_INT("contributions", u->contributions),
        JSON_INT("aborted", u->aborted),
        JSON_FIXED("aborted_s", u->aborted_s),
        JSON_FIXED("signal_s", u->signal_s),
        JSON_FIXED("wait_s", u->wait_s),
        JSON_INT("staleness", u->staleness),
        JSON_REAL("lr", lr),
        JSON_BOOL("empty", !u->samples),
        {.type = JSON_END},
    };
    results_event(r, "update", n->own->clock.trained_s, fields);
    results_progress(r, &(struct progress){.seconds = n->own->clock.trained_s,
                                           .version = n->version,
                                           .samples = n->samples,
                                           .samples_wanted = node_limits(n).samples,
                                           .done = node_done(n),
                                           .loss = mean,
                                           .staleness = histogram_mean(&n->counters.staleness),
                                           .lr = lr});
}

/* Servers that race may still take pushes when rank 0's last update is made: the last evaluation
 * then waits for them. */
static bool evaluates_later(const struct node *n)
{
    return n->races && n->context->servers > 1;
}

/* Rank 0: evaluates the current version, once. Of simulated servers in step the others make it
 * later, and the evaluation begins then (node_updated()): rank 0 has replied, so --target ends
 * training one update later than over MPI. */
static void evaluate(struct node *n)
{
    if (n->own->evaluator.current)
        return;
    if (n->own->stop_heard) {
        control_save(n);
        if (!stop_has_time(n))
            return;
    }
    control_evaluate(n);
}

/* Is training over with the version that was just made? */
static bool is_over(const struct node *n)
{
    return n->own->stop_heard || n->ending == END_WITH_NEXT ||
           (n->ending == END_BY_LIMITS && node_done(n) >= 1);
}

/* Signals are heard here, and before the first update: what follows one is not the course of a run
 * that had none, and is not kept. */
static void keep_course(struct node *n, const struct update *u)
{
    bool heard_before = n->own->stop_heard;
    n->own->stop_heard |= stop_is_asked(n);
    if (isfinite(u->loss) && !heard_before)
        course_update(n, is_over(n));
}

/* What a version brings: an evaluation, the end. */
static void judge(struct node *n)
{
    n->stop |= is_over(n);
    if (n->own->stop_heard)
        n->status = EXIT_STOPPED;
    if (n->stop ? !evaluates_later(n)
                : n->samples >= n->own->evaluator.next_samples || moment_makes_version_due(n))
        evaluate(n);
    n->stop |= n->ending == END_BY_LIMITS && has_reached_target(n);
}

static void decide(struct node *n, const struct update *u)
{
    if (!isfinite(u->loss)) {
        divergence_nan(n, u->worst);
        return;
    }
    keeping_updated(n, is_over(n));
    if (n->ending == END_NOT_HERE)
        return;
    judge(n);
    if (n->stop)
        keeping_ended(n);
}

void node_first_evaluation(struct node *n)
{
    n->own->stop_heard = stop_is_asked(n);
    if (n->version > 0) {
        judge(n);
        if (n->stop)
            keeping_ended(n);
        return;
    }
    evaluate(n);
    n->stop = has_reached_target(n) && !*n->context->options->replay;
}

void node_final_evaluation(struct node *n)
{
    if (n->status == EXIT_NAN || (n->own->evaluator.current && !evaluates_later(n)))
        return;
    n->own->evaluator.current = false;
    evaluate(n);
}

void node_updated(struct node *n, const struct update *u)
{
    struct evaluator *e = &n->own->evaluator;
    double lr = u->lr > 0 ? u->lr : node_lr(n);
    n->version++;
    net_act(n->net,
            (struct net_activity){.pace = NET_STEPS, .what = "update", .number = n->version});
    n->samples += u->samples;
    n->counters.updates++;
    if (n->worker >= 0) /* alone: all of it */
        accounts_used(n);
    average_update(n);
    e->current = false;
    e->training_loss += u->loss;
    e->training_samples += u->samples;
    histogram_add(&n->counters.minibatches_per_update, u->minibatches);
    histogram_add(&n->counters.contributions, u->contributions);
    node_weights_changed(n);
    node_note(n, TRACE_VERSION, n->version, -1);
    if (n->rank == 0) {
        n->own->clock.trained_s = made_s(n);
        report(n, u, lr);
        keep_course(n, u);
        decide(n, u);
        starvation_check(n);
    }
    node_handle_events(n);
    if (n->context->nodes && n->rank > 0) /* rank 0 may wait for this version to judge it */
        node_handle_events(n->context->nodes[0]);
}
