/* Anytime mini-batch: every worker computes for the same time, and contributes as many mini-batches
 * as it has finished.
 *
 *   w(v+1) = w(v) - lr (sum of all finished mini-batches' gradients at w(v)) / (their number)
 *
 * The time, --anytime-seconds, begins when the weights arrive. A mini-batch that is computing at
 * its end is dropped and done again. Cost as ssgd. Staleness 0. Ferdinand, Al-Lawati, Draper,
 * Nokleby ICLR 2019, arXiv:2006.05752. Deviations: a server sums in place of rounds of consensus;
 * the step is --optimizer's in place of dual averaging; whole mini-batches count, not samples, so
 * who finishes none in time gives nothing; a batch has no upper limit. */
#include <math.h>

#include "base/alloc.h"
#include "base/check.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

struct anytime_options {
    double anytime_seconds;
};

#define AT(field) offsetof(struct anytime_options, field)

static const struct option_row rows[] = {{.name = "anytime-seconds",
                                          .type = OPTION_REAL,
                                          .flags = OPTION_ABOVE,
                                          .offset = AT(anytime_seconds),
                                          .preset = "1",
                                          .placeholder = "S",
                                          .help = "seconds of computing of an update",
                                          .old = "compute-s",
                                          .most = 1e9},
                                         {0}};

static const struct option_set option_set = {.title = "Scheme anytime",
                                             .owner = "--scheme anytime",
                                             .rows = rows,
                                             .size = sizeof(struct anytime_options)};

enum { PATIENCE = 100 }; /* versions in a row to which nobody contributes */

static void work(struct node *n)
{
    const struct anytime_options *o = options_of(n->context->options, &option_set);
    struct ps_client *ps = ps_client_open(n);
    ps_pull(ps, n->w);
    while (ps_wait(ps)) {
        node_clear(n);
        node_set_deadline(n, node_clock(n) + o->anytime_seconds);
        while (!node_past_deadline(n))
            node_minibatch(n);
        node_set_deadline(n, INFINITY);
        ps_push(ps, n->sum);
        ps_pull(ps, n->w);
    }
    ps_client_close(ps);
}

static void serve(struct node *n)
{
    const struct anytime_options *o = options_of(n->context->options, &option_set);
    int workers = n->context->workers, empty = 0;
    struct ps_server *ps = ps_server_open(n);
    double *scale = xcalloc((size_t)workers, sizeof *scale);
    ps_reply_all(ps);
    while (ps_collect(ps)) {
        double finished = 0;
        for (int i = 0; i < workers; i++)
            finished += (double)ps_received(ps, i)->minibatches;
        for (int i = 0; i < workers; i++)
            scale[i] = finished > 0 ? 1 / finished : 0;
        empty = finished > 0 ? 0 : empty + 1;
        CHECK(empty < PATIENCE,
              "nobody has finished a mini-batch within --anytime-seconds %g for %d versions; give "
              "them more time",
              o->anytime_seconds, empty);
        ps_step(ps, scale);
        ps_reply_all(ps);
    }
    xfree(scale);
    ps_server_close(ps);
}

const struct scheme scheme_anytime = {
    .name = "anytime",
    .rule = "every worker computes for the same time and gives what it has finished",
    .paper = "Ferdinand et al. 2019, arXiv:2006.05752",
    .deviations =
        "a server sums, where the paper has rounds of consensus; the step is --optimizer's, where "
        "the paper averages dual variables; whole mini-batches count, where the paper counts "
        "samples, so who finishes none in time gives nothing; a batch has no upper limit",
    .flags = BOUNDED | PUSHES | COMPRESSES | LOCKSTEP,
    .messages = "W pushes, W pulls",
    .floats = "2 n",
    .staleness = "0",
    .options = &option_set,
    .work = work,
    .serve = serve,
};
