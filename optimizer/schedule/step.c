/* The rate drops at milestones. */
#include "optimizer/schedule/kinds.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { MOST_MILESTONES = sizeof((struct schedule *)NULL)->steps / sizeof(double) };

static double step(const struct schedule *s, double part, double done)
{
    (void)part;
    double factor = 1;
    for (int i = 0; i < s->step_count; i++)
        if (done >= s->steps[i])
            factor *= s->gamma;
    return factor;
}

static void check_step(const struct schedule *s)
{
    schedule_check_gamma(s);
    assert(s->step_count >= 0 && s->step_count <= MOST_MILESTONES);
    for (int i = 0; i < s->step_count; i++)
        if (!(s->steps[i] >= 0 && s->steps[i] <= 1))
            fatal("--milestones: %g: give parts of the run, from 0 to 1", s->steps[i]);
}

struct step_options {
    const char *milestones;
    double gamma;
};

static const struct option_row step_rows[] = {
    {.name = "milestones",
     .type = OPTION_TEXT,
     .offset = offsetof(struct step_options, milestones),
     .preset = "0.5,0.75",
     .placeholder = "PARTS",
     .help = "parts of the run at which the learning rate drops",
     .old = "steps"},
    {.name = "gamma",
     .type = OPTION_REAL,
     .offset = offsetof(struct step_options, gamma),
     .preset = "0.1",
     .placeholder = "G",
     .help = "factor at each milestone"},
    {0}};

static const struct option_set step_option_set = {.title = "Schedule step",
                                                  .owner = "--schedule step",
                                                  .rows = step_rows,
                                                  .size = sizeof(struct step_options)};

static void read_step(struct schedule *s, const void *own)
{
    const struct step_options *o = own;
    s->gamma = o->gamma;
    schedule_set_milestones(s, o->milestones);
}

const struct schedule_kind schedule_step = {
    .name = "step",
    .formula = "lr gamma^k after the k-th milestone",
    .paper = "He et al. 2016",
    .options = &step_option_set,
    .read = read_step,
    .factor = step,
    .check = check_step,
};

void schedule_set_milestones(struct schedule *s, const char *text)
{
    char *copy = strdup(text), *save = NULL, *end;
    s->step_count = 0;
    for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        double at = strtod(word, &end);
        if (*end || !(at >= 0 && at <= 1) || s->step_count == MOST_MILESTONES)
            fatal("--milestones '%s' is not a list of at most %d parts of the run like 0.5,0.75",
                  text, (int)MOST_MILESTONES);
        s->steps[s->step_count++] = at;
    }
    free(copy);
}
