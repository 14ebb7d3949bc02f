/* What --faults does to this rank: when each of its faults strikes, and what it does from then on.
 *
 * Files are the disk's (base/disk.h). A rank that stops and a link that is down are the world's.
 * How long a mini-batch and a message take is asked here, while the fault lasts. */
#include <math.h>

#include "base/alloc.h"
#include "base/random.h"
#include "node/private.h"

static const struct faults *faults_of(const struct node *n)
{
    return n->context->faults;
}

static void report(struct node *n, const struct fault *f, double at_s)
{
    char text[200];
    fault_write(f, text, sizeof text);
    results_event(n->context->results, "fault", node_clock_at(n, at_s),
                  JSON_FIELDS(JSON_INT("rank", n->rank), JSON_TEXT("what", text)));
}

/* When net_now() shows at_s. */
static void strike(struct node *n, int i, double at_s)
{
    const struct fault *f = &faults_of(n)->fault[i];
    n->own->faults.struck_s[i] = at_s;
    report(n, f, at_s);
    if (f->kind == FAULT_DEAD || f->kind == FAULT_FROZEN)
        net_stop(n->net, at_s, f->for_s);
    else if (f->kind == FAULT_DOWN)
        net_cut(n->net, at_s, f->for_s);
}

/* Event number `number` of this rank, from 1, has come. */
static void strike_at(struct node *n, enum fault_when when, int64_t number)
{
    const struct faults *all = faults_of(n);
    for (int i = 0; i < all->count; i++) {
        const struct fault *f = &all->fault[i];
        if (f->rank == n->rank && f->when == when && f->moment == (double)number)
            strike(n, i, net_now(n->net));
    }
}

/* Does it last now? */
static bool lasts(const struct node *n, int i, enum fault_kind kind)
{
    const struct fault *f = &faults_of(n)->fault[i];
    double since_s = net_now(n->net) - n->own->faults.struck_s[i];
    return f->rank == n->rank && f->kind == kind && since_s >= 0 && since_s < f->for_s;
}

void node_faults_minibatch(struct node *n, int64_t attempt)
{
    if (faults_of(n))
        strike_at(n, FAULT_MINIBATCH, attempt + 1);
}

double node_faults_slowness(const struct node *n)
{
    const struct faults *all = faults_of(n);
    double factor = 1;
    for (int i = 0; all && i < all->count; i++)
        if (lasts(n, i, FAULT_SLOWER))
            factor *= all->fault[i].amount;
    return factor;
}

/* Each message counts, so that the draws of `scattered` have numbers. */
static double on_message(void *self, const struct header *header)
{
    struct node *n = self;
    const struct faults *all = faults_of(n);
    struct fault_course *c = &n->own->faults;
    struct random r = random_at(RANDOM_FAULT, (uint64_t)n->context->options->seed,
                                (uint64_t)n->rank, 2, (uint64_t)c->messages++);
    double late_s = 0;
    for (int i = 0; i < all->count; i++) {
        if (lasts(n, i, FAULT_LATE))
            late_s += all->fault[i].amount;
        if (lasts(n, i, FAULT_SCATTERED))
            late_s += all->fault[i].amount * random_uniform(&r);
    }
    if (header->tag == TAG_PUSH && header->to == 0)
        strike_at(n, FAULT_PUSH, ++c->pushes);
    return late_s;
}

void node_faults_open(struct node *n)
{
    const struct faults *all = faults_of(n);
    struct fault_course *c = &n->own->faults;
    if (!all)
        return;
    n->net->deadline_s = n->context->options->deadline;
    c->struck_s = xcalloc((size_t)all->count, sizeof *c->struck_s);
    for (int i = 0; i < all->count; i++)
        c->struck_s[i] = INFINITY;
    n->net->link.owner = n;
    n->net->link.on_message = on_message;
    for (int i = 0; i < all->count; i++)
        if (all->fault[i].rank == n->rank && all->fault[i].when == FAULT_SECOND)
            strike(n, i, n->own->clock.started_s + all->fault[i].moment);
}

/* Those of files have no moment of the clock, since a thread writes checkpoints. */
static void report_files(struct node *n)
{
    const struct faults *all = faults_of(n);
    for (int i = 0, k = 0; i < all->count; i++)
        if (fault_is_of_file(&all->fault[i]) && all->disk[k++].struck)
            report(n, &all->fault[i], net_now(n->net));
}

void node_faults_close(struct node *n)
{
    if (faults_of(n) && n->rank == 0)
        report_files(n);
    n->net->link.on_message = NULL;
    xfree(n->own->faults.struck_s);
}
