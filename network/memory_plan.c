/* Greedy, by size: within a tenth of the least that must live at once (tests/test_network.c
 * measures it). Cost: pieces squared, once. */
#include "network/memory_plan.h"

#include <stdlib.h>

#include "base/alloc.h"

enum { ALIGN = 4096 };

/* How long each tensor lives. A unit's input, skip, output and saved tensor are read again in its
 * own backward. */
static void set_lives(struct memory_plan *p, const struct model *a, const struct unit_sizes *sizes,
                      int (*reader)[2], bool training)
{
    int units = a->units, end = training ? 2 * units - 1 : units - 1;
    size_t images = (size_t)a->batch * (size_t)a->channels * (size_t)a->height * (size_t)a->width *
                    sizeof(float);
    size_t crops = (size_t)a->batch * sizeof(struct crop), loaded = sizes[0].x_bytes;
    p->images = (struct piece){loaded ? loaded : images, 0, 0, training ? end : 0};
    p->raw_batch = (struct piece){!loaded ? 0 : crops > images ? crops : images, 0, 0, 0};
    p->labels = (struct piece){(size_t)a->batch * sizeof(int32_t), 0, 0, end};
    p->logits_gradient =
        (struct piece){training ? sizes[units - 1].y_bytes : 0, 0, units - 1, units};
    for (int i = 0; i < units; i++) {
        const struct unit_spec *u = &a->unit[i];
        int back = 2 * units - 1 - i, last = i;
        for (int k = 0; k < 2; k++)
            if (reader[i][k] > last)
                last = reader[i][k];
        p->output[i] = (struct piece){sizes[i].y_bytes, 0, i,
                                      training         ? back
                                      : i == units - 1 ? end
                                                       : last};
        p->saved[i] =
            (struct piece){training ? sizes[i].saved_bytes : 0, 0, i, training ? back : i};
        size_t input = training && u->input != IMAGES ? sizes[u->input].y_bytes : 0;
        size_t skip = training && u->skip >= 0 ? sizes[u->skip].y_bytes : 0;
        p->input_gradient[i] = (struct piece){input, 0, back, 2 * units - 1 - u->input};
        p->skip_gradient[i] = (struct piece){skip, 0, back, 2 * units - 1 - u->skip};
    }
}

static int by_size(const void *a, const void *b)
{
    const struct piece *x = *(struct piece *const *)a, *y = *(struct piece *const *)b;
    return x->bytes != y->bytes   ? (x->bytes < y->bytes) - (x->bytes > y->bytes)
           : x->first != y->first ? x->first - y->first
                                  : x->last - y->last;
}

/* Greedy: the largest first, each at the lowest offset where nothing that lives at the same time
 * lies. */
static void assign_offsets(struct memory_plan *p, struct piece **list, int count)
{
    qsort(list, (size_t)count, sizeof *list, by_size);
    for (int i = 0; i < count; i++) {
        struct piece *a = list[i];
        a->bytes = (a->bytes + ALIGN - 1) / ALIGN * ALIGN;
        bool moved = true;
        for (a->offset = 0; moved;) {
            moved = false;
            for (int k = 0; k < i; k++) {
                const struct piece *b = list[k];
                bool meet = a->first <= b->last && b->first <= a->last;
                if (meet && a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes) {
                    a->offset = b->offset + b->bytes;
                    moved = true;
                }
            }
        }
        if (a->offset + a->bytes > p->bytes)
            p->bytes = a->offset + a->bytes;
    }
}

void memory_plan_open(struct memory_plan *p, const struct model *a, const struct unit_sizes *sizes,
                      int (*reader)[2], bool training)
{
    int units = a->units, count = 0;
    *p = (struct memory_plan){.output = xcalloc((size_t)units * 4, sizeof(struct piece))};
    p->saved = p->output + units;
    p->input_gradient = p->saved + units;
    p->skip_gradient = p->input_gradient + units;
    set_lives(p, a, sizes, reader, training);
    struct piece **list = xcalloc((size_t)units * 4 + 4, sizeof *list);
    for (int i = 0; i < 4 * units; i++)
        if (p->output[i].bytes)
            list[count++] = &p->output[i];
    list[count++] = &p->images;
    list[count++] = &p->labels;
    if (p->logits_gradient.bytes)
        list[count++] = &p->logits_gradient;
    if (p->raw_batch.bytes)
        list[count++] = &p->raw_batch;
    assign_offsets(p, list, count);
    xfree(list);
}

void memory_plan_close(struct memory_plan *p)
{
    xfree(p->output);
}
