/* The reader of safetensors files. It trusts no byte, takes tensors in any order and passes over
 * foreign ones; it writes nothing before all of the header has been judged. */
#include "serialization/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "serialization/json.h"

enum { HEADER_MOST = 16 << 20 }; /* bytes of JSON; ResNet-152's are 0.1 million */

/* "F32 [64, 3, 3, 3]"; a shape of more than four sizes is cut. */
static void describe(char *text, const char *dtype, uint64_t dims, const uint64_t *shape)
{
    int used = snprintf(text, SHAPE_SIZE, "%.12s [", dtype);
    for (int i = 0; i < 4 && (uint64_t)i < dims; i++)
        used += snprintf(text + used, SHAPE_SIZE - (size_t)used, "%s%llu", i ? ", " : "",
                         (unsigned long long)shape[i]);
    snprintf(text + used, SHAPE_SIZE - (size_t)used, "%s]", dims > 4 ? ", ..." : "");
}

struct wanted {
    const struct tensor *tensor;
    float *to;
    const uint8_t *from; /* NULL until it is found */
};

struct entry {
    char dtype[16];
    uint64_t dims, shape[4], from, to; /* shape: the first four */
    bool has_dtype, has_shape, has_offsets;
};

static bool read_shape(struct json *j, struct entry *e)
{
    if (!json_expect(j, '['))
        return false;
    if (json_accept(j, ']'))
        return true;
    do {
        uint64_t size;
        if (!json_unsigned(j, &size))
            return false;
        if (e->dims < 4)
            e->shape[e->dims] = size;
        e->dims++;
    } while (json_accept(j, ','));
    return json_expect(j, ']');
}

static bool read_offsets(struct json *j, struct entry *e)
{
    return json_expect(j, '[') && json_unsigned(j, &e->from) && json_expect(j, ',') &&
           json_unsigned(j, &e->to) && json_expect(j, ']');
}

static bool read_field(struct json *j, const char *name, struct entry *e)
{
    char key[16];
    if (!json_string(j, key, sizeof key) || !json_expect(j, ':'))
        return false;
    bool *has = !strcmp(key, "dtype")          ? &e->has_dtype
                : !strcmp(key, "shape")        ? &e->has_shape
                : !strcmp(key, "data_offsets") ? &e->has_offsets
                                               : NULL;
    if (!has || *has)
        return json_fail(j, "tensor %s: %s field '%s'", name, has ? "a second" : "an unknown", key);
    *has = true;
    return has == &e->has_dtype   ? json_string(j, e->dtype, sizeof e->dtype)
           : has == &e->has_shape ? read_shape(j, e)
                                  : read_offsets(j, e);
}

static bool read_entry(struct json *j, const char *name, uint64_t data_bytes, struct entry *e)
{
    if (!json_expect(j, '{'))
        return false;
    do {
        if (!read_field(j, name, e))
            return false;
    } while (json_accept(j, ','));
    if (!json_expect(j, '}'))
        return false;
    if (!e->has_dtype || !e->has_shape || !e->has_offsets)
        return json_fail(j, "tensor %s: no %s", name,
                         !e->has_dtype   ? "dtype"
                         : !e->has_shape ? "shape"
                                         : "data_offsets");
    if (e->from > e->to || e->to > data_bytes)
        return json_fail(j,
                         "tensor %s: its bytes %llu to %llu are not among the %llu of the file; is "
                         "it truncated?",
                         name, (unsigned long long)e->from, (unsigned long long)e->to,
                         (unsigned long long)data_bytes);
    return true;
}

/* Is the entry what the tensor wants to be? */
static bool fits(struct json *j, const struct tensor *t, const struct entry *e)
{
    uint64_t shape[4];
    bool same = !strcmp(e->dtype, "F32") && e->dims == (uint64_t)t->dims;
    for (int i = 0; i < t->dims; i++) {
        shape[i] = (uint64_t)t->shape[i];
        same = same && e->shape[i] == shape[i];
    }
    if (!same) {
        char expected[SHAPE_SIZE], found[SHAPE_SIZE];
        describe(expected, "F32", (uint64_t)t->dims, shape);
        describe(found, e->dtype, e->dims, e->shape);
        return json_fail(j, "tensor %s: expected %s, found %s", t->name, expected, found);
    }
    uint64_t bytes = (uint64_t)t->count * sizeof(float);
    if (e->to - e->from != bytes)
        return json_fail(j, "tensor %s: expected %llu bytes, found %llu", t->name,
                         (unsigned long long)bytes, (unsigned long long)(e->to - e->from));
    return true;
}

static bool read_metadata(struct json *j)
{
    char ignored[1];
    if (!json_expect(j, '{'))
        return false;
    if (json_accept(j, '}'))
        return true;
    do {
        if (!json_string(j, ignored, sizeof ignored) || !json_expect(j, ':') ||
            !json_string(j, ignored, sizeof ignored))
            return false;
    } while (json_accept(j, ','));
    return json_expect(j, '}');
}

static bool read_tensor(struct json *j, const uint8_t *data, uint64_t data_bytes,
                        struct wanted *list, int count)
{
    char name[NAME_SIZE];
    struct entry e = {.dims = 0};
    if (!json_string(j, name, sizeof name) || !json_expect(j, ':'))
        return false;
    if (!strcmp(name, "__metadata__"))
        return read_metadata(j);
    if (!read_entry(j, name, data_bytes, &e))
        return false;
    for (int i = 0; i < count; i++) {
        if (strcmp(list[i].tensor->name, name))
            continue;
        if (list[i].from)
            return json_fail(j, "tensor %s: is there twice", name);
        list[i].from = data + e.from;
        return fits(j, list[i].tensor, &e);
    }
    return true; /* not ours */
}

static bool read_header(struct json *j, const uint8_t *data, uint64_t data_bytes,
                        struct wanted *list, int count)
{
    if (!json_expect(j, '{'))
        return false;
    if (json_accept(j, '}'))
        return true;
    do {
        if (!read_tensor(j, data, data_bytes, list, count))
            return false;
    } while (json_accept(j, ','));
    return json_expect(j, '}') &&
           (json_ended(j) || json_fail(j, "its header goes on after its end"));
}

/* All parameters must be there; of the statistics all or none. */
static bool all_there(struct json *j, const struct wanted *list, int count, int parameters,
                      bool *has_statistics)
{
    int statistics = 0;
    for (int i = parameters; i < count; i++)
        statistics += list[i].from != NULL;
    for (int i = 0; i < (statistics ? count : parameters); i++)
        if (!list[i].from)
            return json_fail(j, "tensor %s is missing", list[i].tensor->name);
    *has_statistics = statistics > 0;
    return true;
}

static void copy_in(const struct wanted *wanted, float *row_buffer)
{
    const struct tensor *t = wanted->tensor;
    int64_t row = safetensors_row(t), taps = safetensors_taps(t);
    float *to = wanted->to + t->offset;
    for (int64_t i = 0; i < t->count; i += row) {
        const uint8_t *from = wanted->from + (size_t)i * sizeof(float);
        if (taps == 1) {
            memcpy(to + i, from, (size_t)row * sizeof(float));
            continue;
        }
        memcpy(row_buffer, from, (size_t)row * sizeof(float)); /* the file promises no alignment */
        safetensors_transpose(to + i, row_buffer, row / taps, taps);
    }
}

static struct wanted *want(const struct tensor *list, int count, float *to, struct wanted *end)
{
    for (int i = 0; i < count; i++)
        *end++ = (struct wanted){.tensor = &list[i], .to = to};
    return end;
}

const char *weights_parse(const uint8_t *bytes, size_t size, const struct tensor_table *table,
                          float *w, float *statistics, bool *has_statistics, char *why,
                          size_t why_size)
{
    struct json j = {.why = why, .why_size = why_size};
    uint64_t header = 0;
    bool has = false;
    if (has_statistics)
        *has_statistics = false;
    memcpy(&header, bytes, size < LENGTH_BYTES ? size : LENGTH_BYTES);
    if (size < LENGTH_BYTES)
        json_fail(&j, "it is truncated: %zu bytes, a safetensors file begins with %d", size,
                  LENGTH_BYTES);
    else if (header > HEADER_MOST)
        json_fail(
            &j,
            "it is no safetensors file: its header would be %llu bytes long, at most %d are read",
            (unsigned long long)header, HEADER_MOST);
    else if (header > size - LENGTH_BYTES)
        json_fail(&j, "it is truncated: its header has %llu bytes, %zu are there",
                  (unsigned long long)header, size - LENGTH_BYTES);
    if (j.failed)
        return why;
    const struct tensor *tensors = table->parameter, *running = table->statistic;
    int parameters = table->parameters, others = statistics ? table->statistics : 0;
    int count = parameters + others;
    struct wanted *list = xcalloc((size_t)count, sizeof *list);
    want(running, others, statistics, want(tensors, parameters, w, list));
    const uint8_t *data = bytes + LENGTH_BYTES + header;
    j.begin = j.at = bytes + LENGTH_BYTES;
    j.end = data;
    if (read_header(&j, data, size - LENGTH_BYTES - header, list, count) &&
        all_there(&j, list, count, parameters, &has)) {
        float *row = xcalloc((size_t)safetensors_longest_row(tensors, parameters), sizeof *row);
        for (int i = 0; i < count; i++)
            if (list[i].from)
                copy_in(&list[i], row);
        xfree(row);
    }
    xfree(list);
    if (has_statistics)
        *has_statistics = has;
    return j.failed ? why : NULL;
}

void weights_load(const char *path, const struct tensor_table *table, float *w, float *statistics,
                  bool *has_statistics)
{
    char why[400];
    struct stat s;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &s))
        fatal("weights '%s': %s; give a safetensors file of %s", path, strerror(errno),
              table->model);
    if (!S_ISREG(s.st_mode))
        fatal("weights '%s': it is no file; give a safetensors file of %s", path, table->model);
    size_t size = (size_t)s.st_size;
    const uint8_t *bytes =
        size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0) : (const uint8_t *)"";
    CHECK(bytes != MAP_FAILED, "weights '%s' cannot be mapped: %s", path, strerror(errno));
    close(file);
    const char *wrong =
        weights_parse(bytes, size, table, w, statistics, has_statistics, why, sizeof why);
    if (size)
        munmap((void *)bytes, size);
    if (wrong)
        fatal("weights '%s': %s; give a safetensors file of %s", path, wrong, table->model);
}
