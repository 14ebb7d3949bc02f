/* The schedules' list, and the rate at any moment: a warm-up, then the schedule's factor. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "optimizer/schedule/kinds.h"

static const struct schedule_kind *const kinds[] = {
#define ROW(name) &schedule_##name,
    SCHEDULES(ROW)
#undef ROW
};

const char *schedule_shapes(char *text, size_t size)
{
    size_t used = 0;
    *text = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? "|" : "", kinds[i]->name);
    return text;
}

static const struct schedule_kind *find(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i]->name, name))
            return kinds[i];
    char known[200];
    fatal("--schedule: unknown shape '%s'; known are %s", name,
          schedule_shapes(known, sizeof known));
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
        return s->lr * (SCHEDULE_START + (1 - SCHEDULE_START) * done / s->warmup) *
               kind->factor(s, 0, done);
    double part = s->warmup < 1 ? (done - s->warmup) / (1 - s->warmup) : 1;
    return s->lr * kind->factor(s, part, done);
}
