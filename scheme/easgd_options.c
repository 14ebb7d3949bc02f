/* The tables of easgd and eamsgd, the rows of their options, and what does not go together; easgd.c
 * has both sides. */
#include "scheme/easgd.h"

#include <string.h>

#include "base/check.h"
#include "scheme/localsgd.h"

#define AT(field) offsetof(struct easgd_options, field)

static const struct option_row rows[] = {
    LOCAL_STEPS(AT(local_steps)),
    {.name = "easgd-beta",
     .type = OPTION_REAL,
     .offset = AT(easgd_beta),
     .preset = "0.9",
     .placeholder = "BETA",
     .help = "workers x elasticity of the force between worker and centre",
     .old = "elastic",
     .most = 1},
    {0}};

const struct option_set easgd_option_set = {.title = "Schemes easgd and eamsgd",
                                            .owner = "--scheme easgd or eamsgd",
                                            .rows = rows,
                                            .size = sizeof(struct easgd_options)};

static void check_rule(const struct options *o, const char *scheme, const char *rule)
{
    if (strcmp(o->optimizer, "sgd") && strcmp(o->optimizer, rule))
        fatal("--optimizer %s: workers of %s step by %s, the centre by the elastic force alone; "
              "leave it out",
              o->optimizer, scheme, rule);
}

static void easgd_check(const struct options *o, int workers)
{
    (void)workers;
    check_rule(o, "easgd", "sgd");
}

static void eamsgd_check(const struct options *o, int workers)
{
    (void)workers;
    check_rule(o, "eamsgd", "nesterov");
}

const struct scheme scheme_easgd = {
    .name = "easgd",
    .rule = "local steps, and an elastic force between each worker and a centre",
    .paper = "Zhang et al. 2015, arXiv:1412.6651",
    .deviations = "the exchange of the first step is left out, since it moves nothing; weight "
                  "decay acts where the gradient is taken; of several servers each exchanges its "
                  "slice in an order of its own; the synchronous form is not here",
    .flags = REPLAYS | PUSHES | COMPRESSES | SURVIVES,
    .messages = "a push, a pull",
    .floats = "2 n every H mini-batches",
    .staleness = "local gradients",
    .options = &easgd_option_set,
    .check = easgd_check,
    .state = (const char *const[]){"worker.weights", "worker.steps", NULL},
    .work = easgd_work,
    .serve = easgd_serve,
};

const struct scheme scheme_eamsgd = {
    .name = "eamsgd",
    .rule = "easgd with Nesterov's momentum at the workers",
    .paper = "Zhang et al. 2015, arXiv:1412.6651",
    .deviations = "the exchange of the first step is left out, since it moves nothing; weight "
                  "decay acts where the gradient is taken; of several servers each exchanges its "
                  "slice in an order of its own; the synchronous form is not here",
    .flags = REPLAYS | PUSHES | COMPRESSES | SURVIVES,
    .messages = "a push, a pull",
    .floats = "2 n every H mini-batches",
    .staleness = "local gradients",
    .options = &easgd_option_set,
    .check = eamsgd_check,
    .state = (const char *const[]){"worker.weights", "worker.x", "worker.steps", NULL},
    .work = eamsgd_work,
    .serve = easgd_serve,
};
