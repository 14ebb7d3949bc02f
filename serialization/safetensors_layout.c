/* Where the tensors of a file lie: one behind the other, as the format wants it
 * (https://github.com/huggingface/safetensors, "Format"). A file in which two share bytes was made
 * to be read in two ways; one with a gap has lost something. */
#include "serialization/safetensors.h"

#include <stdlib.h>
#include <string.h>

void extent_name(const struct extent *e, const uint8_t *end, char name[NAME_SIZE])
{
    char why[1];
    struct json j = {
        .what = "", .begin = e->name, .at = e->name, .end = end, .why = why, .why_size = 1};
    if (!json_string(&j, name, NAME_SIZE) || !*name)
        strcpy(name, "(a long name)");
}

static int by_place(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    if (x->to != y->to)
        return x->to < y->to ? -1 : 1;
    return x->name < y->name ? -1 : 1;
}

static bool refuse_overlap(struct json *j, const struct extent *a, const struct extent *b)
{
    char first[NAME_SIZE], second[NAME_SIZE];
    extent_name(a, j->end, first);
    extent_name(b, j->end, second);
    if (a->from == b->from && a->to == b->to)
        return json_fail(j, "tensors %s and %s are the same bytes, %llu to %llu", first, second,
                         (unsigned long long)a->from, (unsigned long long)a->to);
    return json_fail(j, "tensors %s and %s overlap: bytes %llu to %llu, and %llu to %llu", first,
                     second, (unsigned long long)a->from, (unsigned long long)a->to,
                     (unsigned long long)b->from, (unsigned long long)b->to);
}

static bool refuse_gap(struct json *j, uint64_t from, const struct extent *next)
{
    char name[NAME_SIZE];
    extent_name(next, j->end, name);
    return json_fail(j, "bytes %llu to %llu, before tensor %s, belong to none: it is damaged",
                     (unsigned long long)from, (unsigned long long)next->from, name);
}

bool extents_check(struct json *j, struct extent *list, size_t count, uint64_t data_bytes)
{
    uint64_t end = 0;
    char name[NAME_SIZE] = "the header";
    qsort(list, count, sizeof *list, by_place);
    for (size_t i = 0; i < count; i++) {
        if (list[i].from < end)
            return refuse_overlap(j, &list[i - 1], &list[i]);
        if (list[i].from > end)
            return refuse_gap(j, end, &list[i]);
        end = list[i].to;
    }
    if (end == data_bytes)
        return true;
    if (count)
        extent_name(&list[count - 1], j->end, name);
    return json_fail(j, "%llu bytes after %s, the last tensor, belong to none: it is damaged",
                     (unsigned long long)(data_bytes - end), name);
}
