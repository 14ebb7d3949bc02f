/* The reader of safetensors files. It trusts no byte, takes tensors in any order and passes over
 * foreign ones; it writes nothing before the whole file has been judged. */
#include "serialization/safetensors.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"

/* Bytes of a tensor's shortest entry. */
enum { ENTRY_LEAST = sizeof "\"\":{\"dtype\":\"\",\"shape\":[],\"data_offsets\":[0,0]}" - 1 };

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

struct reading { /* of one file */
    struct json j;
    const uint8_t *data; /* behind the header */
    uint64_t data_bytes;
    const struct tensor_table *table;
    struct wanted *wanted; /* [count], parameters first */
    int count;
    struct extent *extent; /* [room], of all tensors of the file */
    size_t extents, room;
    const char *prefix; /* of the names, passed over */
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

/* What a user who meets another shape can do, as far as that is known. */
static void advise(const struct reading *r, const struct tensor *t, const struct entry *e, char *to,
                   size_t size)
{
    const struct tensor_table *table = r->table;
    bool alike = e->dims == (uint64_t)t->dims, first = t == table->parameter;
    *to = 0;
    if (alike && t->dims == 2 && e->shape[1] == (uint64_t)t->shape[1])
        snprintf(to, size, ": it was trained for %llu classes, here there are %d",
                 (unsigned long long)e->shape[0], t->shape[0]);
    if (alike && first && t->dims == 4 && e->shape[2] != (uint64_t)t->shape[2] && table->first_hint)
        snprintf(to, size, ": %s", table->first_hint);
}

/* Is the entry what the tensor wants to be? */
static bool fits(struct reading *r, const struct tensor *t, const struct entry *e)
{
    uint64_t shape[4];
    bool same = !strcmp(e->dtype, "F32") && e->dims == (uint64_t)t->dims;
    for (int i = 0; i < t->dims; i++) {
        shape[i] = (uint64_t)t->shape[i];
        same = same && e->shape[i] == shape[i];
    }
    if (!same) {
        char expected[SHAPE_SIZE], found[SHAPE_SIZE], advice[120];
        describe(expected, "F32", (uint64_t)t->dims, shape);
        describe(found, e->dtype, e->dims, e->shape);
        advise(r, t, e, advice, sizeof advice);
        return json_fail(&r->j, "tensor %s: expected %s, found %s%s", t->name, expected, found,
                         advice);
    }
    uint64_t bytes = (uint64_t)t->count * sizeof(float);
    if (e->to - e->from != bytes)
        return json_fail(&r->j, "tensor %s: expected %llu bytes, found %llu", t->name,
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

/* What wrappers of PyTorch put before all names of a model: DataParallel, torch.compile(),
 * Lightning. */
static const char *const prefixes[] = {
    "module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module.",
};

/* The prefix before which the name is `wanted`: "" where they are equal, NULL: it is another. */
static const char *prefix_of(const char *name, const char *wanted)
{
    if (!strcmp(name, wanted))
        return "";
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t length = strlen(prefixes[i]);
        if (!strncmp(name, prefixes[i], length) && !strcmp(name + length, wanted))
            return prefixes[i];
    }
    return NULL;
}

static bool read_tensor(struct reading *r)
{
    struct json *j = &r->j;
    char name[NAME_SIZE];
    struct entry e = {.dims = 0};
    const uint8_t *name_at = j->at;
    if (!json_string(j, name, sizeof name) || !json_expect(j, ':'))
        return false;
    if (!strcmp(name, "__metadata__"))
        return read_metadata(j);
    if (!read_entry(j, name, r->data_bytes, &e))
        return false;
    assert(r->extents < r->room);
    r->extent[r->extents++] = (struct extent){e.from, e.to, name_at};
    for (int i = 0; i < r->count; i++) {
        struct wanted *w = &r->wanted[i];
        const char *prefix = prefix_of(name, w->tensor->name);
        if (!prefix)
            continue;
        if (w->from)
            return json_fail(j, "tensor %s: is there twice", w->tensor->name);
        w->from = r->data + e.from;
        if (*prefix)
            r->prefix = prefix;
        return fits(r, w->tensor, &e);
    }
    return true; /* not ours */
}

static bool read_header(struct reading *r)
{
    struct json *j = &r->j;
    if (!json_expect(j, '{'))
        return false;
    if (json_accept(j, '}'))
        return true;
    do {
        if (!read_tensor(r))
            return false;
    } while (json_accept(j, ','));
    return json_expect(j, '}') &&
           (json_ended(j) || json_fail(j, "its header goes on after its end"));
}

/* All parameters must be there; of the statistics all or none. */
static bool all_there(struct reading *r, bool *has_statistics)
{
    int statistics = 0, found = 0, parameters = r->table->parameters;
    char first[NAME_SIZE] = "nothing";
    for (int i = 0; i < r->count; i++)
        *(i < parameters ? &found : &statistics) += r->wanted[i].from != NULL;
    if (r->extents)
        extent_name(r->extent, r->j.end, first);
    for (int i = 0; i < (statistics ? r->count : parameters); i++)
        if (!r->wanted[i].from)
            return json_fail(&r->j,
                             "tensor %s is missing: %d of %d are there; the first in the file is "
                             "%s",
                             r->wanted[i].tensor->name, found, parameters, first);
    *has_statistics = statistics > 0;
    return true;
}

/* Weights that are no numbers would be blamed on the learning rate. */
static bool all_finite(struct reading *r)
{
    for (int i = 0; i < r->count; i++) {
        const struct tensor *t = r->wanted[i].tensor;
        for (int64_t k = 0; r->wanted[i].from && k < t->count; k++) {
            float value;
            char where[SHAPE_SIZE];
            memcpy(&value, r->wanted[i].from + (size_t)k * sizeof value, sizeof value);
            if (isfinite(value))
                continue;
            uint64_t index[4], left = (uint64_t)k;
            for (int d = t->dims - 1; d >= 0; d--) {
                index[d] = left % (uint64_t)t->shape[d];
                left /= (uint64_t)t->shape[d];
            }
            describe(where, isnan(value) ? "NaN at" : "infinite at", (uint64_t)t->dims, index);
            return json_fail(&r->j, "tensor %s: a weight is %s", t->name, where);
        }
    }
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

static void copy_all(const struct reading *r)
{
    int64_t longest = safetensors_longest_row(r->table->parameter, r->table->parameters);
    float *row = xcalloc((size_t)longest, sizeof *row);
    for (int i = 0; i < r->count; i++)
        if (r->wanted[i].from)
            copy_in(&r->wanted[i], row);
    xfree(row);
}

/* Finds the header; false: there is none. */
static bool find_header(struct reading *r, const uint8_t *bytes, size_t size)
{
    uint64_t header = 0;
    memcpy(&header, bytes, size < LENGTH_BYTES ? size : LENGTH_BYTES);
    if (!size)
        return json_fail(&r->j, "it is empty");
    if (size < LENGTH_BYTES)
        return json_fail(&r->j, "it is truncated: %zu bytes, a safetensors file begins with %d",
                         size, LENGTH_BYTES);
    if (header > HEADER_MOST)
        return json_fail(
            &r->j,
            "it is no safetensors file: its header would be %llu bytes long, at most %d are read",
            (unsigned long long)header, HEADER_MOST);
    if (header > size - LENGTH_BYTES)
        return json_fail(&r->j, "it is truncated: its header has %llu bytes, %zu are there",
                         (unsigned long long)header, size - LENGTH_BYTES);
    r->j.begin = r->j.at = bytes + LENGTH_BYTES;
    r->j.end = r->data = bytes + LENGTH_BYTES + header;
    r->data_bytes = size - LENGTH_BYTES - header;
    r->room = header / ENTRY_LEAST + 1;
    return true;
}

const char *weights_parse(const uint8_t *bytes, size_t size, const struct tensor_table *table,
                          float *w, float *statistics, struct weights_found *found, char *why,
                          size_t why_size)
{
    int others = statistics ? table->statistics : 0;
    struct reading r = {.j = {.what = "its header is no JSON of a safetensors file",
                              .why = why,
                              .why_size = why_size},
                        .table = table,
                        .prefix = ""};
    *found = (struct weights_found){.prefix = ""};
    if (!find_header(&r, bytes, size)) {
        safetensors_foreign(bytes, size, why, why_size);
        return why;
    }
    r.count = table->parameters + others;
    r.wanted = xcalloc((size_t)r.count, sizeof *r.wanted);
    r.extent = xcalloc(r.room, sizeof *r.extent);
    want(table->statistic, others, statistics,
         want(table->parameter, table->parameters, w, r.wanted));
    bool has = false;
    if (read_header(&r) && all_there(&r, &has) &&
        extents_check(&r.j, r.extent, r.extents, r.data_bytes) && all_finite(&r)) {
        *found = (struct weights_found){.has_statistics = has, .prefix = r.prefix};
        copy_all(&r);
    } else {
        safetensors_foreign(bytes, size, why, why_size);
    }
    xfree(r.extent);
    xfree(r.wanted);
    return r.j.failed ? why : NULL;
}

const char *weights_load(const char *path, const struct tensor_table *table, float *w,
                         float *statistics, bool *has_statistics)
{
    char why[400];
    struct stat s;
    struct weights_found found;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
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
    const char *wrong = weights_parse(bytes, size, table, w, statistics, &found, why, sizeof why);
    if (size)
        munmap((void *)bytes, size);
    if (wrong)
        fatal("weights '%s': %s; give a safetensors file of %s", path, wrong, table->model);
    if (has_statistics)
        *has_statistics = found.has_statistics;
    return found.prefix;
}
