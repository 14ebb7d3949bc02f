/* The rate falls by one factor over the run. */
#include "optimizer/schedule/kinds.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

#include "base/check.h"

void schedule_check_gamma(const struct schedule *s)
{
    if (!(s->gamma >= 0 && s->gamma <= FLT_MAX))
        fatal("--gamma %g: give a number from 0 up", s->gamma);
}

static double exponential(const struct schedule *s, double part, double done)
{
    (void)done;
    return pow(s->gamma, part);
}

struct exponential_options {
    double gamma;
};

static const struct option_row exponential_rows[] = {
    {.name = "gamma",
     .type = OPTION_REAL,
     .offset = offsetof(struct exponential_options, gamma),
     .preset = "0.1",
     .placeholder = "G",
     .help = "learning rate at the end / at the start"},
    {0}};

static const struct option_set exponential_option_set = {.title = "Schedule exponential",
                                                         .owner = "--schedule exponential",
                                                         .rows = exponential_rows,
                                                         .size =
                                                             sizeof(struct exponential_options)};

static void read_exponential(struct schedule *s, const void *own)
{
    const struct exponential_options *o = own;
    s->gamma = o->gamma;
}

const struct schedule_kind schedule_exponential = {
    .name = "exponential",
    .formula = "lr gamma^part, which ends at lr gamma",
    .options = &exponential_option_set,
    .read = read_exponential,
    .factor = exponential,
    .check = schedule_check_gamma,
};
