/* A manifest is a JSON object. It is read as a flat list of names and values: what a checkpoint
 * holds decides which of them are asked for. Its last line is the digest of all before it. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/json_reader.h"
#include "checkpoint/private.h"

enum {
    DEPTH = 6,
    FIELD_SIZE = 300,
    VALUE_SIZE = 1 << 18, /* --slow names 10,000 ranks */
    MOST_FIELDS = 1000000,
    MOST_BYTES = 64 << 20
};

struct reader {
    struct json json;
    struct manifest *to;
    char name[FIELD_SIZE]; /* of what is being read */
    char *value;           /* [VALUE_SIZE] the same */
};

static bool add(struct reader *r, const char *value)
{
    struct manifest *m = r->to;
    if (m->fields == MOST_FIELDS)
        return json_fail(&r->json, "more than %d fields", MOST_FIELDS);
    if (m->fields == m->room) {
        m->room = m->room ? 2 * m->room : 256;
        m->field = realloc(m->field, (size_t)m->room * sizeof *m->field);
        CHECK(m->field, "no memory for a manifest of %d fields", m->room);
    }
    m->field[m->fields++] = (struct manifest_field){strdup(r->name), strdup(value)};
    return true;
}

static bool read_value(struct reader *r, int depth);

/* One member of an object or a list, whose name is appended to the one so far. */
static bool read_member(struct reader *r, const char *name, int depth)
{
    size_t used = strlen(r->name);
    int length = snprintf(r->name + used, sizeof r->name - used, "%s%s", used ? "/" : "", name);
    bool fits = length < (int)(sizeof r->name - used);
    bool read = fits ? read_value(r, depth) : json_fail(&r->json, "a name that is too long");
    r->name[used] = 0;
    return read;
}

static bool read_object(struct reader *r, int depth)
{
    char name[FIELD_SIZE];
    if (json_accept(&r->json, '}'))
        return true;
    do
        if (!json_string(&r->json, name, sizeof name) || !json_expect(&r->json, ':') ||
            !read_member(r, name, depth))
            return false;
    while (json_accept(&r->json, ','));
    return json_expect(&r->json, '}');
}

static bool read_list(struct reader *r, int depth)
{
    char name[24];
    int64_t i = 0;
    if (json_accept(&r->json, ']'))
        return true;
    do {
        snprintf(name, sizeof name, "%" PRId64, i++);
        if (!read_member(r, name, depth))
            return false;
    } while (json_accept(&r->json, ','));
    return json_expect(&r->json, ']');
}

static bool read_value(struct reader *r, int depth)
{
    if (depth == DEPTH)
        return json_fail(&r->json, "more than %d levels", DEPTH);
    if (json_accept(&r->json, '{'))
        return read_object(r, depth + 1);
    if (json_accept(&r->json, '['))
        return read_list(r, depth + 1);
    return json_scalar(&r->json, r->value, VALUE_SIZE) && add(r, r->value);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct manifest_field *)a)->name,
                  ((const struct manifest_field *)b)->name);
}

bool manifest_parse(struct manifest *m, const uint8_t *text, size_t size, char *why,
                    size_t why_size)
{
    struct reader r = {
        .json = {.begin = text, .at = text, .end = text + size, .why = why, .why_size = why_size},
        .to = m};
    *m = (struct manifest){.field = NULL};
    if (size > MOST_BYTES)
        return json_fail(&r.json, "a manifest of %zu bytes", size);
    r.value = xcalloc(VALUE_SIZE, 1);
    bool read = json_expect(&r.json, '{') && read_object(&r, 1) &&
                (json_ended(&r.json) || json_fail(&r.json, "it goes on after its end"));
    xfree(r.value);
    if (m->fields)
        qsort(m->field, (size_t)m->fields, sizeof *m->field, by_name);
    for (int i = 1; i < m->fields && read; i++)
        if (!strcmp(m->field[i - 1].name, m->field[i].name))
            read = json_fail(&r.json, "field %s is there twice", m->field[i].name);
    if (!read)
        manifest_close(m);
    return read;
}

void manifest_close(struct manifest *m)
{
    for (int i = 0; i < m->fields; i++) {
        free(m->field[i].name);
        free(m->field[i].value);
    }
    free(m->field);
    *m = (struct manifest){.field = NULL};
}

const char *manifest_value(const struct manifest *m, const char *name)
{
    const struct manifest_field wanted = {.name = (char *)name}, *found = NULL;
    if (m->fields)
        found = bsearch(&wanted, m->field, (size_t)m->fields, sizeof wanted, by_name);
    return found ? found->value : NULL;
}

bool manifest_number(const struct manifest *m, const char *name, uint64_t *number)
{
    const char *value = manifest_value(m, name);
    char *end;
    if (!value || !isdigit((unsigned char)*value))
        return false;
    errno = 0;
    *number = strtoull(value, &end, 10);
    return !*end && !errno;
}

bool manifest_digest(const struct manifest *m, const char *name, uint64_t *digest)
{
    const char *value = manifest_value(m, name);
    char *end, again[DIGEST_TEXT];
    if (!value)
        return false;
    *digest = strtoull(value, &end, 16);
    digest_text(*digest, again);
    return !strcmp(again, value);
}

/* --- the end --- */

void manifest_end(char end[MANIFEST_END + 1], const char *text, size_t size)
{
    char digest[DIGEST_TEXT];
    digest_text(digest_of(text, size), digest);
    int length = snprintf(end, MANIFEST_END + 1, ",\n  \"all_before\": \"%s\"\n}\n", digest);
    CHECK(length == MANIFEST_END, "a manifest's end has %d bytes", length);
}

bool manifest_is_whole(const struct mapped *file, char *why, size_t why_size)
{
    char end[MANIFEST_END + 1];
    if (file->size > MOST_BYTES) { /* one that has grown is not read for hours */
        snprintf(why, why_size, "its manifest has %zu bytes, at most %d are read", file->size,
                 MOST_BYTES);
        return false;
    }
    if (file->size < MANIFEST_END) {
        snprintf(why, why_size, "its manifest is torn: %zu bytes", file->size);
        return false;
    }
    manifest_end(end, (const char *)file->bytes, file->size - MANIFEST_END);
    if (!memcmp(end, file->bytes + file->size - MANIFEST_END, MANIFEST_END))
        return true;
    snprintf(why, why_size, "its manifest is torn or was changed: the digest at its end differs");
    return false;
}
