#include "tests/toy.h"

#include <math.h>

#include "base/check.h"

void toy_run(struct experiment *e, struct words *w)
{
    experiment_defaults(e, words_list(w));
    const struct options *o = &e->options;
    e->problem =
        problem_open(&(struct problem_options){.options = o, .minibatch = (int)(o->batch / o->minibatches), .threads = 1, .trains = true});
    experiment_run(e);
    problem_close(e->problem);
}

double toy_apart(const struct outcome *a, const struct outcome *b)
{
    double most = 0, difference = 0;
    CHECK(a->count == b->count, "two problems");
    for (int64_t i = 0; i < a->count; i++) {
        most = fmax(most, fabs(a->w[i]));
        difference = fmax(difference, fabs((double)a->w[i] - b->w[i]));
    }
    return difference / most;
}
