/* The writer of safetensors files. The 64-bit counters come first, so that everything lies
 * aligned. */
#include "serialization/safetensors.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"

struct item { /* a tensor as it is in the file */
    char name[NAME_SIZE];
    const struct tensor *tensor; /* NULL: a counter of batches, one I64 */
    const float *from;
};

/* Are they of one module? "bn1.bias", "bn1.running_mean" */
static bool same_module(const char *a, const char *b)
{
    ptrdiff_t length = strrchr(a, '.') - a;
    return strrchr(b, '.') - b == length && !strncmp(a, b, (size_t)length);
}

/* PyTorch's order: a norm's weight and bias, then its running_mean, running_var and
 * num_batches_tracked. */
static int make_list(struct item *list, const struct tensor *tensors, int parameters,
                     const struct tensor *running, int others, const float *w,
                     const float *statistics)
{
    struct item *end = list;
    int next = 0;
    for (int i = 0; i < parameters; i++) {
        const struct tensor *t = &tensors[i];
        *end = (struct item){.tensor = t, .from = w + t->offset};
        strcpy((end++)->name, t->name);
        if (next == others || !same_module(t->name, running[next].name) ||
            strcmp(strrchr(t->name, '.'), ".bias"))
            continue;
        for (int k = 0; k < 2; k++, next++) {
            *end =
                (struct item){.tensor = &running[next], .from = statistics + running[next].offset};
            strcpy((end++)->name, running[next].name);
        }
        *end = (struct item){.tensor = NULL};
        snprintf(end->name, sizeof end->name, "%.*s.num_batches_tracked",
                 (int)(strrchr(t->name, '.') - t->name), t->name);
        end++;
    }
    assert(next == others);
    return (int)(end - list);
}

/* What comes first in the header; its values are text. */
static size_t write_note(char *text, size_t size, const struct weights_note *n)
{
    size_t used = (size_t)snprintf(text, size, "{\"__metadata__\":{\"format\":\"pt\"");
    if (n->samples)
        used += (size_t)snprintf(text + used, size - used,
                                 ",\"samples\":\"%lld\",\"updates\":\"%lld\",\"top1\":\"%.4f\"",
                                 (long long)n->samples, (long long)n->updates, n->top1);
    return used + (size_t)snprintf(text + used, size - used, "}");
}

static bool write_header(FILE *file, const struct item *list, int count, int counters,
                         const struct weights_note *note)
{
    enum { ENTRY_MOST = NAME_SIZE + SHAPE_SIZE + 100, NOTE_MOST = 300 };
    size_t size = (size_t)count * ENTRY_MOST + NOTE_MOST;
    char *text = xcalloc(size, 1);
    uint64_t counter_at = 0, at = (uint64_t)counters * sizeof(int64_t);
    size_t used = write_note(text, size, note);
    for (int i = 0; i < count; i++) {
        const struct tensor *t = list[i].tensor;
        uint64_t *from = t ? &at : &counter_at,
                 bytes = t ? (uint64_t)t->count * sizeof(float) : sizeof(int64_t);
        used += (size_t)snprintf(text + used, size - used, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[",
                                 list[i].name, t ? "F32" : "I64");
        for (int k = 0; t && k < t->dims; k++)
            used += (size_t)snprintf(text + used, size - used, "%s%d", k ? "," : "", t->shape[k]);
        used += (size_t)snprintf(text + used, size - used, "],\"data_offsets\":[%llu,%llu]}",
                                 (unsigned long long)*from, (unsigned long long)(*from + bytes));
        *from += bytes;
    }
    text[used++] = '}';
    while (used % LENGTH_BYTES)
        text[used++] = ' ';
    uint64_t length = used;
    bool written = fwrite(&length, sizeof length, 1, file) == 1 && fwrite(text, used, 1, file) == 1;
    xfree(text);
    return written;
}

static bool write_floats(FILE *file, const struct item *item, float *row_buffer)
{
    const struct tensor *t = item->tensor;
    int64_t row = safetensors_row(t), taps = safetensors_taps(t);
    for (int64_t i = 0; i < t->count; i += row) {
        const float *from = item->from + i;
        if (taps > 1) {
            safetensors_transpose(row_buffer, from, taps, row / taps);
            from = row_buffer;
        }
        if (fwrite(from, sizeof *from, (size_t)row, file) != (size_t)row)
            return false;
    }
    return true;
}

struct content {
    const struct item *list;
    int count;
    float *row_buffer;
    const struct weights_note *note;
};

static bool write_all(FILE *file, void *self)
{
    const struct content *c = self;
    const int64_t zero = 0;
    int counters = 0;
    for (int i = 0; i < c->count; i++)
        counters += !c->list[i].tensor;
    if (!write_header(file, c->list, c->count, counters, c->note))
        return false;
    for (int i = 0; i < counters; i++)
        if (fwrite(&zero, sizeof zero, 1, file) != 1)
            return false;
    for (int i = 0; i < c->count; i++)
        if (c->list[i].tensor && !write_floats(file, &c->list[i], c->row_buffer))
            return false;
    return true;
}

bool weights_save(const struct weights_target *to, const struct tensor_table *table, const float *w,
                  const float *statistics)
{
    const struct tensor *tensors = table->parameter, *running = table->statistic;
    int parameters = table->parameters, others = statistics ? table->statistics : 0;
    struct item *list = xcalloc((size_t)parameters + 2 * (size_t)others, sizeof *list);
    struct content content = {
        .list = list,
        .count = make_list(list, tensors, parameters, running, others, w, statistics),
        .row_buffer = xcalloc((size_t)safetensors_longest_row(tensors, parameters), sizeof(float)),
        .note = &to->note};
    const struct file_place place = {to->disk, DISK_WEIGHTS};
    bool saved = file_write_on(place, to->path, to->fresh, write_all, &content);
    int error = errno;
    xfree(content.row_buffer);
    xfree(list);
    errno = error;
    return saved;
}
