#include "tests/special_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A scheme on the toy with four workers; further options are "name=value name=value". */
static struct option_list setup(const char *scheme, int workers, int minibatches, const char *more)
{
    struct option_list w = {0};
    char copy[400], *save = NULL;
    add_plain_sgd(&w, scheme, 0.05);
    add_option(&w, "network=quadratic");
    add_option(&w, "workers=%d", workers);
    add_option(&w, "minibatches=%d", minibatches);
    add_option(&w, "batch=%d", 8 * minibatches);
    add_option(&w, "samples=%d", 8 * minibatches * workers * 12);
    snprintf(copy, sizeof copy, "%s", more);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        add_option(&w, "%s", word);
    return w;
}

void run_special_case(struct experiment *e, const char *scheme, int workers, int minibatches,
                      const char *more)
{
    struct option_list w = setup(scheme, workers, minibatches, more);
    quadratic_run(e, &w);
}

/* How far the two schemes end apart; both are closed. */
double apart(struct twin a, struct twin b, int workers, int minibatches)
{
    struct experiment first, second;
    run_special_case(&first, a.scheme, workers, minibatches, a.options);
    run_special_case(&second, b.scheme, workers, minibatches, b.options);
    assert_int_equal(first.out.samples, second.out.samples);
    double difference = quadratic_difference(&first.out, &second.out);
    experiment_close(&first);
    experiment_close(&second);
    return difference;
}
