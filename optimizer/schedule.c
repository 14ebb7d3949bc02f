/* The learning-rate schedules: each a few lines and a table. */
#include <assert.h>
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/options.h"
#include "optimizer/optimizer.h"

enum { MOST_MILESTONES = sizeof((struct schedule *)NULL)->steps / sizeof(double) };

struct schedule_kind {
    const char *name, *formula, *paper;
    const struct option_set *options;                  /* its own; NULL: none */
    void (*read)(struct schedule *s, const void *own); /* takes them */
    /* Factor on the rate when `part` of the time after the warm-up is over, and `done` of the
     * run. */
    double (*factor)(const struct schedule *s, double part, double done);
    /* Fatal on a number of its own that is out of its range; NULL: it has none. */
    void (*check)(const struct schedule *s);
    bool warms_up; /* by itself: no warm-up comes before it */
};

/* where a rise of the rate begins: at 0 the first update would be none */
static const double start = 1.0 / 25;

static void check_gamma(const struct schedule *s)
{
    if (!(s->gamma >= 0 && s->gamma <= FLT_MAX))
        fatal("--gamma %g: give a number from 0 up", s->gamma);
}

static double constant(const struct schedule *s, double part, double done)
{
    (void)s, (void)part, (void)done;
    return 1;
}

static const struct schedule_kind schedule_constant = {
    .name = "constant",
    .formula = "lr",
    .factor = constant,
};

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
    check_gamma(s);
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

static const struct schedule_kind schedule_step = {
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

static const struct schedule_kind schedule_exponential = {
    .name = "exponential",
    .formula = "lr gamma^part, which ends at lr gamma",
    .options = &exponential_option_set,
    .read = read_exponential,
    .factor = exponential,
    .check = check_gamma,
};

static double cosine(const struct schedule *s, double part, double done)
{
    (void)s, (void)done;
    return part < 1 ? 0.5 * (1 + cos(M_PI * part)) : 0;
}

static const struct schedule_kind schedule_cosine = {
    .name = "cosine",
    .formula = "lr (1 + cos(pi part)) / 2",
    .paper = "Loshchilov, Hutter 2017",
    .factor = cosine,
};

static double one_cycle(const struct schedule *s, double part, double done)
{
    (void)s, (void)part;
    const double top = 0.3, end = 1e-4;
    return done < top ? start + (1 - start) * (done / top)
                      : 1 - (1 - end) * ((done - top) / (1 - top));
}

static const struct schedule_kind schedule_one_cycle = {
    .name = "one-cycle",
    .formula = "a line from lr/25 to lr for 0.3 of the run, and one down to lr/1e4",
    .paper = "Smith 2018",
    .factor = one_cycle,
    .warms_up = true,
};

#define SCHEDULES(X)                                                                               \
    X("constant", constant)                                                                        \
    X("step", step)                                                                                \
    X("exponential", exponential)                                                                  \
    X("cosine", cosine)                                                                            \
    X("one-cycle", one_cycle)

static const struct schedule_kind *const kinds[] = {
#define ROW(text, name) &schedule_##name,
    SCHEDULES(ROW)
#undef ROW
};

const char *schedule_shapes(void)
{
#define NAME(text, name) "|" text
    return &SCHEDULES(NAME)[1];
#undef NAME
}

static const struct schedule_kind *find(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i]->name, name))
            return kinds[i];
    fatal("--schedule: unknown shape '%s'; known are %s", name, schedule_shapes());
}

int schedule_option_sets(const struct option_set **list, int room)
{
    int count = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i]->options && count < room)
            list[count++] = kinds[i]->options;
    return count;
}

const struct option_set *schedule_option_set(const char *shape)
{
    return find(shape)->options;
}

struct schedule schedule_of(const struct options *o)
{
    const struct schedule_kind *kind = find(o->schedule);
    struct schedule s = {.shape = kind->name, .lr = o->lr, .warmup = o->warmup};
    if (kind->options)
        kind->read(&s, options_of(o, kind->options));
    return s;
}

static void check(const struct schedule *s, const struct schedule_kind *kind)
{
    if (!(s->lr >= 0 && s->lr <= FLT_MAX))
        fatal("--lr %g: give a number from 0 up", s->lr);
    if (!(s->warmup >= 0 && s->warmup <= 1))
        fatal("--warmup %g: give a part of the run, from 0 to 1", s->warmup);
    if (kind->check)
        kind->check(s);
}

double schedule_at(const struct schedule *s, double done)
{
    const struct schedule_kind *kind = find(s->shape);
    check(s, kind);
    done = fmin(fmax(done, 0), 1);
    if (kind->warms_up)
        return s->lr * kind->factor(s, done, done);
    if (done < s->warmup)
        return s->lr * (start + (1 - start) * done / s->warmup) * kind->factor(s, 0, done);
    double part = s->warmup < 1 ? (done - s->warmup) / (1 - s->warmup) : 1;
    return s->lr * kind->factor(s, part, done);
}
