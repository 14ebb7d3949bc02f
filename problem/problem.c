/* Which problem the options mean, and what all problems share. */
#include "problem/problem.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "problem/kinds.h"

const char problem_toy[] = "quadratic";

void problem_check(const struct options *o)
{
    if (strcmp(o->network, problem_toy))
        model_find(o->network);
    else if (o->val_split > 0)
        fatal("--val-split: %s has no images to hold out; leave it out", problem_toy);
    if (o->val_split > 0 && (double)(o->val_fold + 1) * o->val_split > 1 + 1e-9)
        fatal("--val-fold %lld: of --val-split %g there are the parts 0 to %.0f",
              (long long)o->val_fold, o->val_split, floor(1 / o->val_split + 1e-9) - 1);
    if (!strcmp(o->evaluate, "val") && !(o->val_split > 0))
        fatal("--evaluate val: nothing is held out; give --val-split, as --val-split 0.1");
}

struct problem *problem_open(const struct problem_options *o)
{
    problem_check(o->options); /* before any data are opened */
    struct problem *p = xcalloc(1, sizeof *p);
    p->minibatch = o->minibatch;
    if (!strcmp(o->options->network, problem_toy))
        quadratic_open(p, o);
    else if (o->timing)
        timing_open(p, o);
    else
        image_open(p, o);
    return p;
}

void problem_close(struct problem *p)
{
    p->kind->close(p);
    xfree(p->no_decay);
    xfree(p->layers);
    xfree(p);
}

uint64_t problem_weights_version(struct problem *p)
{
    return ++p->last_weights_version;
}

enum { PAGE = 4096, LEAST = 1 << 16 }; /* what is smaller is copied soon enough */

bool problem_save(void *problem, const char *path, const float *w, const float *statistics)
{
    struct problem *p = problem;
    return p->kind->save(p, &(struct weights_target){.path = path, .fresh = true}, w, statistics);
}

void problem_register_memory(void *problem, void *block, size_t bytes)
{
    struct problem *p = problem;
    if (p->kind->register_memory && bytes >= LEAST)
        p->kind->register_memory(p, block, (bytes + PAGE - 1) / PAGE * PAGE);
}

void problem_unregister_memory(void *problem, void *block)
{
    struct problem *p = problem;
    if (p->kind->unregister_memory)
        p->kind->unregister_memory(p, block);
}

void problem_initialise(struct problem *p, float *w)
{
    p->kind->initialise(p, w);
}
