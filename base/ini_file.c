/* By libinih. It reads lines of at most 199 bytes and knows only ';' after a value. So lines pass
 * through next_line(): it cuts comments, hides each ';' and '#' that is none, and hands a long line
 * over in pieces, as an indented continuation, which libinih reports under the same name. */
#include "base/ini_file.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/file.h"
#include "base/paths.h"

enum { PIECE = 150, SECTION = 200, LONGEST = 1 << 16 };
static const char marks[] = ";#", hidden[] = "\1\2"; /* of comments; in their place */

struct reader {
    void (*take)(void *self, const struct ini_line *line);
    void *self;
    const char *path;
    FILE *file;
    char section[SECTION]; /* libinih cuts its name */
    char *line, *rest; /* the line as read; what of it has not been handed over, NULL: nothing */
    size_t room;
    int number;        /* of the line */
    bool wants, taken; /* the line must hold a value; it did */
    char *value;       /* collected from its pieces */
    size_t length;
};

void ini_where(const char *path, int line, char where[INI_WHERE])
{
    snprintf(where, INI_WHERE, "%.480s:%d: ", path, line);
}

static void where_is(const struct reader *r, char where[INI_WHERE])
{
    ini_where(r->path, r->number, where);
}

bool ini_needs_quotes(const char *text)
{
    size_t length = strlen(text);
    if (!length)
        return false;
    if (isspace((unsigned char)*text) || isspace((unsigned char)text[length - 1]) ||
        strchr("\";#", *text))
        return true;
    for (const char *c = text; c[1]; c++)
        if (isspace((unsigned char)*c) && (c[1] == ';' || c[1] == '#'))
            return true;
    return false;
}

/* Each of the characters `from` becomes the one at its place in `to`. */
static void translate(char *text, const char *from, const char *to)
{
    for (char *c = text; *c; c++) {
        const char *at = strchr(from, *c);
        *c = at ? to[at - from] : *c;
    }
}

/* Where a comment may begin: after a value in quotes, which may hold what begins one, and quotes.
 * So a comment behind it can hold none. */
static char *after_quoted(char *line)
{
    char *equals = strpbrk(line, "=:"),
         *from = equals ? equals + 1 + strspn(equals + 1, " \t") : "", *to = strrchr(line, '"');
    return *from == '"' && to > from ? to : line;
}

static void cut_comment(char *from)
{
    for (char *c = from; *c; c++)
        if (strchr(marks, *c) && c > from && isspace((unsigned char)c[-1]))
            *c = 0;
}

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    for (char *end = strchr(text, 0); end > text && isspace((unsigned char)end[-1]);)
        *--end = 0;
    return text;
}

static _Noreturn void refuse_line(const struct reader *r)
{
    char where[INI_WHERE];
    where_is(r, where);
    fatal("%sneither 'name = value' nor a [section] nor a comment", where);
}

static _Noreturn void refuse_long(const struct reader *r)
{
    char where[INI_WHERE];
    where_is(r, where);
    fatal("%sa line of more than %d bytes before its comment", where, LONGEST);
}

/* "[name]": what libinih would cut to its own length. */
static void begin_section(struct reader *r)
{
    const char *end = strchr(r->rest, ']');
    size_t length = end ? (size_t)(end - r->rest) - 1 : 0;
    if (!end || length >= SECTION)
        refuse_line(r);
    memcpy(r->section, r->rest + 1, length);
    r->section[length] = 0;
    r->take(r->self,
            &(struct ini_line){.path = r->path, .number = r->number, .section = trim(r->section)});
}

/* The next line of the file, trimmed; false at its end. */
static bool read_line(struct reader *r)
{
    ssize_t length = getline(&r->line, &r->room, r->file);
    if (length < 0)
        return false;
    if (strlen(r->line) != (size_t)length)
        fatal("%.480s:%d: a zero byte: this is no text file", r->path, r->number + 1);
    r->number++;
    char *line = trim(r->line + (r->number == 1 && !strncmp(r->line, "\xEF\xBB\xBF", 3) ? 3 : 0));
    cut_comment(after_quoted(line));
    r->rest = trim(line);
    r->wants = *r->rest && !strchr(";#[", *r->rest);
    if (r->wants)
        translate(r->rest, marks, hidden);
    r->taken = false;
    r->length = 0;
    if (*r->rest == '[')
        begin_section(r);
    if (!r->wants) /* libinih would only skip it */
        r->rest = strchr(line, 0);
    return true;
}

/* libinih's reader: like fgets(). */
static char *next_line(char *to, int size, void *self)
{
    struct reader *r = self;
    bool goes_on = r->rest;
    if (!goes_on) {
        if (r->wants && !r->taken)
            refuse_line(r);
        if (!read_line(r))
            return NULL;
    }
    size_t length = strlen(r->rest);
    if (length <= PIECE) {
        snprintf(to, (size_t)size, "%s%s\n", goes_on ? " " : "", r->rest);
        r->rest = NULL;
        return to;
    }
    length = PIECE; /* neither piece may begin or end with a blank, which libinih would drop */
    while (length &&
           (isspace((unsigned char)r->rest[length - 1]) || isspace((unsigned char)r->rest[length])))
        length--;
    if (strlen(r->rest) > LONGEST)
        refuse_long(r);
    if (!length || (!goes_on && !memchr(r->rest, '=', length)))
        refuse_line(r);
    snprintf(to, (size_t)size, "%s%.*s\n", goes_on ? " " : "", (int)length, r->rest);
    r->rest += length;
    return to;
}

static void finish_value(struct reader *r, const char *name)
{
    char where[INI_WHERE];
    char *value = r->value;
    size_t length = strlen(value);
    where_is(r, where);
    if (*value == '"' && (length < 2 || value[length - 1] != '"'))
        fatal("%sthe value begins with a quote and does not end with one", where);
    if (*value == '"') {
        value[length - 1] = 0;
        value++;
    }
    translate(value, hidden, marks);
    r->take(r->self, &(struct ini_line){.path = r->path,
                                        .number = r->number,
                                        .section = r->section,
                                        .name = name,
                                        .value = value});
}

static int take(void *self, const char *section, const char *name, const char *value)
{
    struct reader *r = self;
    size_t length = strlen(value);
    (void)section;
    r->value = realloc(r->value, r->length + length + 1);
    CHECK(r->value, "no memory for a value of %s", r->path);
    memcpy(r->value + r->length, value, length + 1);
    r->length += length;
    r->taken = true;
    if (!r->rest)
        finish_value(r, name);
    return 1;
}

void ini_read(const char *path, const char *text, size_t bytes,
              void (*take_line)(void *self, const struct ini_line *line), void *self)
{
    struct reader r = {.take = take_line, .self = self, .path = path};
    r.file = bytes ? fmemopen((char *)text, bytes, "r") : fopen("/dev/null", "r");
    CHECK(r.file, "no memory to read %s", path);
    ini_parse_stream(next_line, &r, take, &r);
    fclose(r.file);
    free(r.line);
    free(r.value);
}

/* experiments/slow.ini is found from any folder. */
static FILE *open_file(const char *path)
{
    char own[4200];
    FILE *file = file_open_text(path);
    if (file || errno != ENOENT || *path == '/' || !data_path(own, sizeof own, path))
        return file;
    return file_open_text(own);
}

char *ini_load(const char *path, size_t *bytes)
{
    FILE *file = open_file(path);
    if (!file)
        return NULL;
    char *text = xcalloc(INI_MOST + 2, 1);
    *bytes = fread(text, 1, INI_MOST + 1, file);
    int error = ferror(file) ? errno : *bytes > INI_MOST ? EFBIG : 0;
    fclose(file);
    if (!error)
        return text;
    xfree(text);
    errno = error;
    return NULL;
}
