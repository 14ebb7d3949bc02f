/* --per-class: what evaluations say of the images of each class. The counts are the problem's, at
 * each rank those of its shard; rank 0 adds them. */
#include <string.h>

#include "base/check.h"
#include "node/private.h"

static size_t bytes_of(const struct problem *p)
{
    return p->confusion ? (size_t)p->classes * (size_t)p->classes * sizeof *p->confusion : 0;
}

void confusion_open(struct node *n)
{
    enum { MOST_CLASSES = 2000 };
    struct problem *p = n->context->problem;
    if (!n->context->options->per_class || !p->classes || (n->context->nodes && n->rank > 0))
        return;
    if (p->is_device || p->classes > MOST_CLASSES)
        fatal("--per-class counts where a CPU evaluates, and for at most %d classes; leave it out",
              MOST_CLASSES);
    p->confusion =
        net_alloc(n->net, (size_t)p->classes * (size_t)p->classes * sizeof *p->confusion);
}

void confusion_close(struct node *n)
{
    if (!n->context->nodes || n->rank == 0) {
        net_free(n->net, n->context->problem->confusion);
        n->context->problem->confusion = NULL;
    }
}

size_t confusion_begin(struct node *n)
{
    struct problem *p = n->context->problem;
    size_t bytes = bytes_of(p);
    if (bytes)
        memset(p->confusion, 0, bytes);
    return bytes;
}

void confusion_send(struct node *n, const struct header *header)
{
    const struct problem *p = n->context->problem;
    struct request *sent = net_send(n->net, 0, header, p->confusion, bytes_of(p));
    if (!p->confusion)
        return;
    node_await(n, sent, "the sums of an evaluation", 0); /* they are counted in again */
    net_release(n->net, sent);
}

void confusion_add(struct node *n, struct request *come)
{
    struct problem *p = n->context->problem;
    const int64_t *theirs = come && p->confusion ? net_data(come) : NULL;
    for (size_t i = 0; theirs && i < bytes_of(p) / sizeof *theirs; i++) {
        CHECK(theirs[i] >= 0 && theirs[i] <= p->test_samples,
              "rank %d counted %lld images of %lld in an evaluation", net_header(come)->from,
              (long long)theirs[i], (long long)p->test_samples);
        p->confusion[i] += theirs[i];
    }
}

void confusion_record(struct node *n)
{
    const struct problem *p = n->context->problem;
    if (p->confusion && !node_forwards(n))
        results_confusion(n->context->results,
                          &(struct confusion){.classes = p->classes,
                                              .seconds = n->own->evaluator.last.seconds,
                                              .counts = p->confusion,
                                              .class_names = p->class_names});
}
