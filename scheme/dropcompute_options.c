/* DropCompute's options. */
#include "scheme/dropcompute.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "collective/collective.h"

#define AT(field) offsetof(struct dropcompute_options, field)
static const struct option_row rows[] = {
    {.name = "dropcompute-tau",
     .type = OPTION_TEXT,
     .offset = AT(tau),
     .preset = "auto",
     .placeholder = "S",
     .help = "a worker stops computing S seconds after its batch began (inf: never); auto: chosen "
             "from the first steps"},
    {.name = "dropcompute-steps",
     .type = OPTION_INT,
     .offset = AT(steps),
     .preset = "20",
     .placeholder = "K",
     .help = "steps from whose times --dropcompute-tau auto chooses",
     .least = 1,
     .most = 10000},
    {.name = "dropcompute-most",
     .type = OPTION_REAL,
     .offset = AT(most),
     .preset = "0.1",
     .placeholder = "PART",
     .help = "of the mini-batches of those steps auto drops at most this part (1: any)",
     .most = 1},
    {.name = "dropcompute-divide",
     .type = OPTION_CHOICE,
     .offset = AT(divide),
     .preset = "all",
     .choices = "all|kept",
     .help = "divide the sum of gradients by workers x mini-batches, or by those that were kept"},
    {0}};

const struct option_set dropcompute_option_set = {.title = "Scheme dropcompute",
                                                  .owner = "--scheme dropcompute",
                                                  .rows = rows,
                                                  .size = sizeof(struct dropcompute_options)};

double dropcompute_tau_of(const struct options *o)
{
    const char *text =
        ((const struct dropcompute_options *)options_of(o, &dropcompute_option_set))->tau;
    char *end;
    double tau = strtod(text, &end);
    if (!strcmp(text, "auto"))
        return NAN;
    if (end == text || *end || !(tau > 0))
        fatal("--dropcompute-tau: '%s' is not auto, inf or a number of seconds above 0", text);
    return tau;
}

void dropcompute_check(const struct options *o, int workers)
{
    (void)workers;
    bool chosen = !isnan(dropcompute_tau_of(o));
    if (chosen && (options_given(o, "dropcompute-steps") || options_given(o, "dropcompute-most")))
        fatal("--dropcompute-steps, --dropcompute-most: --dropcompute-tau auto alone chooses by "
              "them; leave them out");
    collective_check(o->allreduce, codec_find(o->compress));
}
