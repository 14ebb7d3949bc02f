/* The lists of network/steps.h. Cost: units, once. */
#include "network/steps.h"

#include "base/alloc.h"

static struct step *add(struct steps *s, enum step_kind kind)
{
    struct step *step = &s->step[s->count++];
    *step = (struct step){.kind = kind, .segment = -1, .hook = -1};
    return step;
}

static void allocate(struct steps *s, const struct model *m)
{
    enum { OTHERS = 8 };
    *s = (struct steps){.step = xcalloc(4 * (size_t)m->units + OTHERS, sizeof *s->step)};
}

void steps_close(struct steps *s)
{
    xfree(s->step);
    xfree(s->segment);
    *s = (struct steps){.count = 0};
}

/* Does a stage begin with unit i? */
static bool begins_stage(const struct model *m, int i)
{
    int before = i ? m->unit[i - 1].stage : 0, stage = m->unit[i].stage,
        head = m->unit[m->units - 1].stage;
    return i == 0 || (stage != before && before > 0 && stage != head);
}

/* The unit with which the stage of unit i begins; the first unit of the next stage, or units. */
static int stage_first(const struct model *m, int i)
{
    while (!begins_stage(m, i))
        i--;
    return i;
}

static int stage_end(const struct model *m, int i)
{
    for (i++; i < m->units && !begins_stage(m, i);)
        i++;
    return i;
}

/* Floats of w from the first to the last parameter of units first .. end - 1. */
static struct range parameters_of(const struct steps_layout *l, int first, int end)
{
    struct range r = {INT64_MAX, 0};
    for (int i = first; i < end; i++) {
        int64_t count = unit_parameters(&l->model->unit[i].shape);
        if (count && l->offset[i] < r.from)
            r.from = l->offset[i];
        if (count && l->offset[i] + count > r.to)
            r.to = l->offset[i] + count;
    }
    return r.from < r.to ? r : (struct range){0, 0};
}

static bool has_dropout(const struct model *m)
{
    for (int i = 0; i < m->units; i++)
        if (m->unit[i].shape.kind == UNIT_DROPOUT)
            return true;
    return false;
}

static void add_unit(struct steps *s, enum step_kind kind, int unit, int hook, int64_t final_from)
{
    struct step *step = add(s, kind);
    step->unit = unit;
    step->hook = hook;
    step->final_from = final_from;
}

/* The steps from `first` to the last one computed so far; transfers may follow. */
static struct segment *add_segment(struct steps *s, int first, int first_hook, int last_hook,
                                   int64_t final_before, int64_t final_after)
{
    struct segment *g = &s->segment[s->segments++];
    *g = (struct segment){.first = first,
                          .last = s->count - 1,
                          .end = s->count,
                          .first_hook = first_hook,
                          .last_hook = last_hook,
                          .final_before = final_before,
                          .final_after = final_after};
    return g;
}

static void add_forward_segments(struct steps *s, const struct model *m, int64_t floats)
{
    for (int i = 0, end; i < m->units; i = end) {
        int first = s->count;
        end = stage_end(m, i);
        for (int k = i; k < end; k++)
            add_unit(s, STEP_FORWARD, k, k, floats);
        if (end == m->units)
            add(s, STEP_LOSS);
        struct segment *g = add_segment(s, first, i, end - 1, floats, floats);
        if (end == m->units) {
            add(s, STEP_LOSS_DOWNLOAD);
            g->end = s->count;
        }
    }
}

static void add_backward_segments(struct steps *s, const struct steps_layout *l, int64_t floats)
{
    const struct model *m = l->model;
    int64_t final = floats;
    for (int i = m->units - 1, begin; i >= 0; i = begin - 1) {
        int first = s->count, last_hook = 2 * m->units - 1;
        begin = stage_first(m, i);
        for (int k = i; k >= begin; k--)
            add_unit(s, STEP_BACKWARD, k, last_hook - k, l->final_from[k]);
        int64_t from = l->final_from[begin];
        struct segment *g = add_segment(s, first, last_hook - i, last_hook - begin, final, from);
        if (from < final)
            add(s, STEP_GRADIENT_DOWNLOAD)->floats = (struct range){from, final};
        g->end = s->count;
        final = from;
    }
}

void steps_open_gradient(struct steps *s, const struct steps_layout *l)
{
    const struct model *m = l->model;
    int64_t floats = model_parameters(m);
    allocate(s, m);
    s->segment = xcalloc(2 * (size_t)m->units, sizeof *s->segment);
    if (has_dropout(m))
        add(s, STEP_KEY);
    add(s, STEP_IMAGES);
    add(s, STEP_LABELS);
    for (int i = 0, segment = 0; i < m->units; i = stage_end(m, i)) {
        struct step *step = add(s, STEP_WEIGHTS_UPLOAD);
        step->segment = segment++;
        step->floats = parameters_of(l, i, stage_end(m, i));
    }
    add_forward_segments(s, m, floats);
    add_backward_segments(s, l, floats);
}

static void add_forward(struct steps *s, const struct model *m)
{
    add(s, STEP_WEIGHTS_UPLOAD)->floats = (struct range){0, model_parameters(m)};
    for (int i = 0; i < m->units; i++)
        add_unit(s, STEP_FORWARD, i, -1, 0);
}

void steps_open_evaluation(struct steps *s, const struct steps_layout *l)
{
    allocate(s, l->model);
    add(s, STEP_STATISTICS_UPLOAD);
    add(s, STEP_IMAGES);
    add(s, STEP_LABELS);
    add_forward(s, l->model);
    add(s, STEP_LOSS);
    add(s, STEP_LOSS_DOWNLOAD);
}

void steps_open_statistics(struct steps *s, const struct steps_layout *l)
{
    allocate(s, l->model);
    add(s, STEP_IMAGES);
    add_forward(s, l->model);
    add(s, STEP_STATISTICS_DOWNLOAD);
}
