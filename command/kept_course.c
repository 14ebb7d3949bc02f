/* When a course is kept: by samples or by wall clock, and when the run ends or is stopped. What a
 * file has is checked by checkpoint/; what fits this run, by names and lengths. */
#include "command/kept_course.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/journal.h"
#include "base/wall_clock.h"

/* --- keeping --- */

static bool is_due(void *self, const struct node *n, bool last)
{
    const struct kept_course *k = self;
    if (!k->writer)
        return false;
    const struct checkpoint_every every = k->checkpoints->plan.every;
    bool samples = every.samples && n->samples / every.samples > k->last_samples / every.samples,
         seconds = every.seconds > 0 && wall_s() - k->last_s >= every.seconds;
    return last || ((samples || seconds) && !checkpoint_writer_is_busy(k->writer));
}

/* A checkpoint before this one may still be on its way to a disk that does not answer. */
static struct net_activity act_busy(const struct node *n)
{
    return net_act(n->net, (struct net_activity){.pace = NET_BUSY, .what = "a checkpoint"});
}

static void keep(void *self, struct node *n, const struct kept *state, int count)
{
    struct kept_course *k = self;
    char *manifest = node_manifest(n);
    struct net_activity before = act_busy(n);
    checkpoint_write(k->writer, ++k->number, n->samples, state, count, manifest);
    net_act(n->net, before);
    k->last_samples = n->samples;
    k->last_s = wall_s();
    free(manifest);
}

/* --- resuming --- */

static bool fill(void *self, const struct kept *to)
{
    const struct kept_course *k = self;
    char why[200];
    return checkpoint_load(k->checkpoints->resume, 0, to, why, sizeof why);
}

static void arrived(void *self, struct node *n)
{
    struct kept_course *k = self;
    k->last_samples = n->samples;
    k->last_s = wall_s();
    k->arrived(k->self);
}

/* Of a run that ends well or was stopped the last one is on the disk before its results are. */
static void end(void *self, struct node *n)
{
    struct kept_course *k = self;
    struct net_activity before = act_busy(n);
    while (k->writer && checkpoint_writer_is_busy(k->writer))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (k->writer && checkpoint_writer_failed(k->writer))
        results_unwritten(n->context->results, "a checkpoint");
    net_act(n->net, before);
}

static int64_t whole_option(const struct checkpoint *c, const char *name, int64_t other)
{
    const char *text = checkpoint_field(c, name);
    return text ? strtoll(text, NULL, 10) : other;
}

static double real_option(const struct checkpoint *c, const char *name, double other)
{
    const char *text = checkpoint_field(c, name);
    return text ? strtod(text, NULL) : other;
}

/* When the run that was kept would have ended: this one may go further. */
static struct limits limits_of(const struct checkpoint *c, const struct run_context *context)
{
    struct options there = *context->options;
    there.samples = whole_option(c, "options/samples", there.samples);
    there.epochs = real_option(c, "options/epochs", there.epochs);
    there.updates = whole_option(c, "options/updates", there.updates);
    there.seconds = real_option(c, "options/seconds", there.seconds);
    return run_context_limits(&there, context->problem->training_samples);
}

static void forward(struct kept_course *k, const struct run_context *context)
{
    const struct checkpoint *c = k->checkpoints->resume;
    const struct kept words = checkpoint_state(c, 0, "journal");
    if (!words.memory || words.type != STATE_I64)
        fatal("--resume %s: it has no journal, as simulated runs have", checkpoint_folder(c));
    journal_forward(k->course.journal, words.memory, words.count);
    k->course.forward_to = whole_option(c, "version", 0);
    k->course.limits = limits_of(c, context);
}

/* --- all of it --- */

void kept_course_open(struct kept_course *k, const struct checkpoints *c,
                      const struct run_context *context, void (*on_arrival)(void *self), void *self)
{
    *k = (struct kept_course){.course = {.journal = journal_open(),
                                         .is_due = is_due,
                                         .keep = keep,
                                         .fill = fill,
                                         .arrived = arrived,
                                         .end = end,
                                         .self = k},
                              .checkpoints = c,
                              .arrived = on_arrival,
                              .self = self};
    if (c->resume && !c->anew)
        forward(k, context);
}

void kept_course_begin(struct kept_course *k, const struct run_context *context)
{
    const struct checkpoint_plan *plan = &k->checkpoints->plan;
    struct problem *p = context->problem;
    if (!plan->folder)
        return;
    k->writer = checkpoint_writer_open(
        &(struct checkpoint_writer_options){.folder = plan->folder,
                                            .ranks = 1,
                                            .keep = plan->keep,
                                            .floats = p->count,
                                            .run = plan->run,
                                            .deadline_s = context->options->deadline,
                                            .save_weights = p->classes ? problem_save : NULL,
                                            .self = p,
                                            .disk = context->disk});
    k->last_s = wall_s();
}

void kept_course_close(struct kept_course *k)
{
    checkpoint_writer_close(k->writer);
    journal_close(k->course.journal);
}
