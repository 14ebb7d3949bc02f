/* Cost: one pass, and a pointer a field. */
#define _GNU_SOURCE /* strnlen */
#include "report/csv.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/text.h"

enum { MOST_BYTES = 256 << 20 };

char *text_read(const char *path, char *why, size_t why_size)
{
    struct stat s;
    if (stat(path, &s)) {
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
        return NULL;
    }
    if (!S_ISREG(s.st_mode) || s.st_size > MOST_BYTES) {
        snprintf(why, why_size, "%s: %s", path,
                 S_ISREG(s.st_mode) ? "more than 256 MiB" : "no plain file");
        return NULL;
    }
    char *text = xcalloc((size_t)s.st_size + 1, 1);
    FILE *f = fopen(path, "r");
    size_t got = f ? fread(text, 1, (size_t)s.st_size, f) : 0;
    if (f)
        fclose(f);
    if (f && strlen(text) == got)
        return text;
    snprintf(why, why_size, "%s: %s", path, f ? "a zero byte in it" : strerror(errno));
    xfree(text);
    return NULL;
}

const char *head_value(const char *head, const char *name, char *value, size_t size)
{
    size_t length = strlen(name);
    *value = '\0';
    for (const char *line = head; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, "# ", 2) || strncmp(line + 2, name, length) ||
            strncmp(line + 2 + length, ": ", 2))
            continue;
        line += length + 4;
        size_t end = strcspn(line, "\n");
        snprintf(value, size, "%.*s", (int)text_whole(line, end < size ? end : size - 1), line);
        break;
    }
    return value;
}

int csv_column(const struct csv *c, const char *name)
{
    for (int i = 0; i < c->columns; i++)
        if (!strcmp(c->fields[i], name))
            return i;
    return -1;
}

const char *csv_text(const struct csv *c, int row, int column)
{
    return column < 0 ? "" : c->fields[(int64_t)(row + 1) * c->columns + column];
}

double csv_number(const struct csv *c, int row, int column)
{
    const char *text = csv_text(c, row, column);
    char *end;
    double value = strtod(text, &end);
    return *text && !*end ? value : NAN;
}

static int count_of(const char *text, const char *end, char what)
{
    int count = 0;
    for (; text < end; text++)
        count += *text == what;
    return count;
}

/* Of a line: commas outside quotes, and one. */
static int count_fields(const char *line, const char *end)
{
    int count = 1;
    for (bool quoted = false; line < end; line++) {
        quoted ^= *line == '"';
        count += *line == ',' && !quoted;
    }
    return count;
}

/* A field that begins at `from`, in quotes: without them, a doubled one once. Returns what follows
 * it; NULL: it does not end. */
static char *unquote(char *from)
{
    char *to = from;
    for (from++; *from; *to++ = *from++) {
        if (*from == '"' && from[1] != '"') {
            *to = '\0';
            return from + 1;
        }
        from += *from == '"';
    }
    return NULL;
}

/* Cuts a line up in place; false: it has not so many fields. */
static bool cut_line(char *at, const char **field, int columns)
{
    for (int k = 0; k < columns; k++) {
        field[k] = at;
        char *end = *at == '"' ? unquote(at) : at + strcspn(at, ",");
        if (!end || *end != (k + 1 < columns ? ',' : '\0'))
            return false;
        at = end + (*end == ',');
        *end = '\0';
    }
    return true;
}

/* Cuts the text up in place. 0: all was well; else the number of the line that was not. */
static int split(struct csv *c, char *body, int lines_before)
{
    char *at = body;
    for (int row = 0; row <= c->rows; row++) {
        char *end = strchr(at, '\n');
        *end = '\0';
        if (end > at && end[-1] == '\r')
            end[-1] = '\0';
        if (!cut_line(at, c->fields + (int64_t)row * c->columns, c->columns))
            return lines_before + row + 1;
        at = end + 1;
    }
    return 0;
}

struct csv *csv_read(const char *path, char *why, size_t why_size)
{
    char *text = text_read(path, why, why_size), *body = text;
    if (!text)
        return NULL;
    while (*body == '#' && strchr(body, '\n'))
        body = strchr(body, '\n') + 1;
    char *names_end = strchr(body, '\n');
    if (!names_end || names_end == body || *body == '#') {
        snprintf(why, why_size, "%s: no line of names", path);
        xfree(text);
        return NULL;
    }
    struct csv *c = xcalloc(1, sizeof *c);
    c->text = text;
    c->head = xcalloc((size_t)(body - text) + 1, 1);
    memcpy(c->head, text, (size_t)(body - text));
    c->columns = count_fields(body, names_end);
    c->rows = count_of(body, body + strlen(body), '\n') - 1;
    c->fields = xcalloc((size_t)(c->rows + 1) * (size_t)c->columns, sizeof *c->fields);
    int wrong = split(c, body, count_of(text, body, '\n'));
    if (!wrong)
        return c;
    snprintf(why, why_size, "%s:%d: not %d fields, as the line of names has", path, wrong,
             c->columns);
    csv_close(c);
    return NULL;
}

void csv_close(struct csv *c)
{
    if (!c)
        return;
    xfree(c->text);
    xfree(c->head);
    xfree(c->fields);
    xfree(c);
}
