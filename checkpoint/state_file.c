/* rank-N.safetensors: vectors and numbers by name. torch loads it as it is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json_reader.h"
#include "checkpoint/private.h"

/* A header is as long as other readers of safetensors take it, at most. */
enum { LENGTH_BYTES = 8, HEADER_MOST = 100 << 20, ENTRY_MOST = STATE_NAME + 120 };

/* In this order they lie aligned. */
static const enum state_type order[STATE_TYPES] = {STATE_I64, STATE_F64, STATE_F32, STATE_U8};

static uint64_t bytes_of(const struct kept *k)
{
    return (uint64_t)k->count * state_size(k->type);
}

static bool put(FILE *file, const void *bytes, size_t count, struct digest *digest)
{
    digest_add(digest, bytes, count);
    return !count || fwrite(bytes, count, 1, file) == 1;
}

/* Its text, padded so that the data are aligned. To be released. */
static char *header_of(const struct kept *list, int count, uint64_t *length)
{
    size_t size = ((size_t)count + 1) * ENTRY_MOST, used = 0;
    char *text = xcalloc(size, 1);
    uint64_t at = 0;
    used += (size_t)snprintf(text, size, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int t = 0; t < STATE_TYPES; t++)
        for (int i = 0; i < count; i++) {
            const struct kept *k = &list[i];
            if (k->type != order[t])
                continue;
            used += (size_t)snprintf(
                text + used, size - used,
                ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%lld],\"data_offsets\":[%llu,%llu]}", k->name,
                state_name(k->type), (long long)k->count, (unsigned long long)at,
                (unsigned long long)(at + bytes_of(k)));
            at += bytes_of(k);
        }
    text[used++] = '}';
    while (used % LENGTH_BYTES)
        text[used++] = ' ';
    *length = used;
    return text;
}

bool state_file_write(FILE *file, const struct kept *list, int count, struct file_mark *mark)
{
    uint64_t length;
    char *header = header_of(list, count, &length);
    struct digest *digest = digest_open();
    errno = EFBIG;
    bool written = length <= HEADER_MOST && put(file, &length, sizeof length, digest) &&
                   put(file, header, (size_t)length, digest);
    *mark = (struct file_mark){.bytes = LENGTH_BYTES + length};
    for (int t = 0; t < STATE_TYPES; t++)
        for (int i = 0; i < count && written; i++)
            if (list[i].type == order[t]) {
                written = put(file, list[i].memory, (size_t)bytes_of(&list[i]), digest);
                mark->bytes += bytes_of(&list[i]);
            }
    mark->digest = digest_value(digest);
    digest_close(digest);
    int error = errno;
    xfree(header);
    errno = error;
    return written;
}

/* --- reading --- */

struct list {
    struct kept *kept;
    int count, room;
    uint64_t at, bytes; /* where the next one must begin; of all */
    const uint8_t *data;
};

static bool take_metadata(struct json *j)
{
    char ignored[1];
    if (!json_expect(j, '{'))
        return false;
    if (json_accept(j, '}'))
        return true;
    do
        if (!json_string(j, ignored, sizeof ignored) || !json_expect(j, ':') ||
            !json_string(j, ignored, sizeof ignored))
            return false;
    while (json_accept(j, ','));
    return json_expect(j, '}');
}

static bool expect_key(struct json *j, const char *key)
{
    char found[16];
    if (!json_string(j, found, sizeof found) || !json_expect(j, ':'))
        return false;
    return !strcmp(found, key) || json_fail(j, "no field '%s' where it is written", key);
}

static bool take_type(struct json *j, enum state_type *type)
{
    char name[8];
    if (!expect_key(j, "dtype") || !json_string(j, name, sizeof name))
        return false;
    for (int t = 0; t < STATE_TYPES; t++)
        if (!strcmp(name, state_name((enum state_type)t))) {
            *type = (enum state_type)t;
            return true;
        }
    return json_fail(j, "a dtype of '%s'", name);
}

static bool take_numbers(struct json *j, const char *key, uint64_t *number, int count)
{
    if (!json_expect(j, ',') || !expect_key(j, key) || !json_expect(j, '['))
        return false;
    for (int i = 0; i < count; i++)
        if ((i && !json_expect(j, ',')) || !json_unsigned(j, &number[i]))
            return false;
    return json_expect(j, ']');
}

/* As header_of() writes it, and in no other way: nobody else writes these files. */
static bool take_tensor(struct json *j, struct list *l)
{
    struct kept *k = &l->kept[l->count];
    uint64_t count, at[2];
    if (!json_string(j, k->name, sizeof k->name) || !json_expect(j, ':'))
        return false;
    if (!strcmp(k->name, "__metadata__"))
        return take_metadata(j);
    if (!json_expect(j, '{') || !take_type(j, &k->type) || !take_numbers(j, "shape", &count, 1) ||
        !take_numbers(j, "data_offsets", at, 2) || !json_expect(j, '}'))
        return false;
    if (!*k->name)
        return json_fail(j, "a tensor without a name");
    if (at[0] != l->at || at[1] < at[0] || at[1] > l->bytes)
        return json_fail(j, "tensor %s: bytes %llu to %llu do not follow the one before", k->name,
                         (unsigned long long)at[0], (unsigned long long)at[1]);
    if (count != (at[1] - at[0]) / state_size(k->type) || (at[1] - at[0]) % state_size(k->type))
        return json_fail(j, "tensor %s: %llu of %s are not %llu bytes", k->name,
                         (unsigned long long)count, state_name(k->type),
                         (unsigned long long)(at[1] - at[0]));
    k->count = (int64_t)count;
    k->memory = (void *)(l->data + at[0]);
    l->at = at[1];
    l->count++;
    return true;
}

static bool take_all(struct json *j, struct list *l)
{
    if (!json_expect(j, '{'))
        return false;
    do {
        if (l->count == l->room) {
            int room = l->room ? 2 * l->room : 64;
            struct kept *more = xcalloc((size_t)room, sizeof *more);
            if (l->count)
                memcpy(more, l->kept, (size_t)l->count * sizeof *more);
            xfree(l->kept);
            l->kept = more;
            l->room = room;
        }
        if (!take_tensor(j, l))
            return false;
    } while (json_accept(j, ','));
    if (!json_expect(j, '}') || !json_ended(j))
        return json_fail(j, "its header goes on after its end");
    return l->at == l->bytes || json_fail(j, "%llu bytes behind the last tensor",
                                          (unsigned long long)(l->bytes - l->at));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct kept *)a)->name, ((const struct kept *)b)->name);
}

/* A simulated run has tens of thousands of them. */
static bool sort(struct json *j, struct list *l)
{
    if (l->count)
        qsort(l->kept, (size_t)l->count, sizeof *l->kept, by_name);
    for (int i = 1; i < l->count; i++)
        if (!by_name(&l->kept[i - 1], &l->kept[i]))
            return json_fail(j, "tensor %s: is there twice", l->kept[i].name);
    return true;
}

const struct kept *state_file_find(const struct kept *list, int count, const char *name)
{
    struct kept wanted = {.count = 0};
    int length = snprintf(wanted.name, sizeof wanted.name, "%s", name);
    if (!count || length >= (int)sizeof wanted.name)
        return NULL;
    return bsearch(&wanted, list, (size_t)count, sizeof wanted, by_name);
}

struct kept *state_file_read(const struct mapped *file, int *count, char *why, size_t why_size)
{
    struct json j = {.what = "its header is no JSON", .why = why, .why_size = why_size};
    uint64_t header = 0;
    if (file->size >= LENGTH_BYTES)
        memcpy(&header, file->bytes, LENGTH_BYTES);
    if (file->size < LENGTH_BYTES || header > HEADER_MOST || header > file->size - LENGTH_BYTES) {
        snprintf(why, why_size, "it is truncated, or no safetensors file: %zu bytes", file->size);
        return NULL;
    }
    struct list l = {.data = file->bytes + LENGTH_BYTES + header,
                     .bytes = file->size - LENGTH_BYTES - header};
    j.begin = j.at = file->bytes + LENGTH_BYTES;
    j.end = l.data;
    bool taken = take_all(&j, &l) && sort(&j, &l);
    *count = l.count;
    if (taken)
        return l.kept;
    xfree(l.kept);
    return NULL;
}
