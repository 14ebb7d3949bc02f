#include "tests/quadratic.h"

#include <math.h>

#include "base/check.h"

void quadratic_run(struct experiment *e, struct option_list *w)
{
    experiment_defaults(e, option_list_words(w));
    const struct options *o = &e->options;
    e->problem = problem_open(&(struct problem_options){
        .options = o, .minibatch = (int)(o->batch / o->minibatches), .threads = 1, .trains = true});
    experiment_run(e);
    problem_close(e->problem);
}

double quadratic_difference(const struct outcome *a, const struct outcome *b)
{
    double most = 0, difference = 0;
    CHECK(a->count == b->count, "two problems");
    for (int64_t i = 0; i < a->count; i++) {
        most = fmax(most, fabs(a->w[i]));
        difference = fmax(difference, fabs((double)a->w[i] - b->w[i]));
    }
    return difference / most;
}
