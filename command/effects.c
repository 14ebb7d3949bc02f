/* What belongs to one member of a family is refused by that member's set of options; here is what
 * depends on something else. A value that a scheme or problem could not carry out is refused by
 * itself. */
#include "command/effects.h"

#include <string.h>

#include "base/check.h"
#include "messaging/messaging.h"
#include "problem/problem.h"

static bool has_images(const struct options *o)
{
    return strcmp(o->network, problem_toy) != 0;
}

static bool prefetches(const struct options *o)
{
    return has_images(o) && !world_find(o->world)->virtual_time;
}

static bool holds_out(const struct options *o)
{
    return o->val_split > 0;
}

static bool ends_by_epochs(const struct options *o)
{
    return !o->samples;
}

static bool has_norm_samples(const struct options *o)
{
    return has_images(o) && !o->eval_batches;
}

static bool has_delays(const struct options *o)
{
    if (*o->delay || !world_find(o->world)->virtual_time)
        return *o->delay;
    const struct sim_options *sim = options_of(o, world_sim.options);
    return *sim->link_delay || *sim->link_burst;
}

static bool is_keyed_by_clock(const struct options *o)
{
    return has_delays(o) && !strcmp(o->delay_key, "clock");
}

struct effect {
    const char *name;
    bool (*has)(const struct options *o); /* NULL: the scheme decides */
    unsigned schemes;                     /* with any of these flags, */
    unsigned others;                      /* and none of those; 0 and 0: all */
    const char *with;                     /* what it has an effect with; NULL: the schemes' names */
};

static const struct effect effects[] = {
    {.name = "data", .has = has_images, .with = "a --network for images"},
    {.name = "dataset", .has = has_images, .with = "a --network for images"},
    {.name = "train-samples", .has = has_images, .with = "a --network for images"},
    {.name = "per-class", .has = has_images, .with = "a --network for images"},
    {.name = "augment", .has = has_images, .with = "a --network for images"},
    {.name = "label-smoothing", .has = has_images, .with = "a --network for images"},
    {.name = "decay-norms", .has = has_images, .with = "a --network for images"},
    {.name = "val-fold", .has = holds_out, .with = "--val-split"},
    {.name = "sim-gradients", .has = has_images, .with = "a --network for images"},
    {.name = "backend", .has = has_images, .with = "a --network for images"},
    {.name = "dtype", .has = has_images, .with = "a --network for images"},
    {.name = "kernel-cache", .has = has_images, .with = "a --network for images"},
    {.name = "eval-batches", .has = has_images, .with = "a --network for images"},
    {.name = "norm-samples",
     .has = has_norm_samples,
     .with = "a --network for images, and no --eval-batches"},
    {.name = "prefetch", .has = prefetches, .with = "a --network for images, in --world mpi"},
    {.name = "epochs", .has = ends_by_epochs, .with = "no --samples"},
    {.name = "delay-key", .has = has_delays, .with = "--delay, --link-delay or --link-burst"},
    {.name = "delay-block", .has = is_keyed_by_clock, .with = "--delay and --delay-key clock"},
    {.name = "allreduce", .schemes = SUMS | OUTER},
    {.name = "sim-model-sums", .schemes = SUMS | OUTER},
    {.name = "early-push", .schemes = PUSHES},
    {.name = "servers", .others = ALONE, .with = "a scheme of several ranks"},
};

static bool has_effect(const struct effect *e, const struct options *o, const struct scheme *s)
{
    return (!e->has || e->has(o)) && (!e->schemes || s->flags & e->schemes) &&
           !(s->flags & e->others);
}

/* "--scheme allreduce, dropcompute or eager" */
static void list_schemes(unsigned flags, char *to, size_t size)
{
    int count = 0, left;
    size_t used = (size_t)snprintf(to, size, "--scheme");
    for (int i = 0; schemes[i]; i++)
        count += (schemes[i]->flags & flags) != 0;
    left = count;
    for (int i = 0; schemes[i] && used < size; i++)
        if (schemes[i]->flags & flags) {
            const char *before = left == count ? " " : left > 1 ? ", " : " or ";
            used += (size_t)snprintf(to + used, size - used, "%s%s", before, schemes[i]->name);
            left--;
        }
}

void check_effects(const struct options *o, const struct scheme *scheme)
{
    char names[500];
    for (size_t i = 0; i < sizeof effects / sizeof *effects; i++) {
        const struct effect *e = &effects[i];
        if (!options_given(o, e->name) || has_effect(e, o, scheme))
            continue;
        if (!e->with)
            list_schemes(e->schemes, names, sizeof names);
        fatal("--%s has an effect only with %s; leave it out", e->name, e->with ? e->with : names);
    }
}
