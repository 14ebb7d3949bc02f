/* Files of options, by libinih: "name = value", [sections] that only group, comments after ';' or
 * '#' at a line's beginning or after a blank.
 *
 * libinih reads lines of at most 199 bytes and knows only ';' after a value. So lines pass through
 * next_line(): it cuts a comment with '#', hides what is in quotes, and hands a long line over
 * in pieces, as an indented continuation, which libinih reports under the same name. */
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/option_store.h"
#include "base/paths.h"

enum { PIECE = 150, HIDDEN = '\1' };

struct reader {
    struct option_store *store;
    const char *path;
    FILE *file;
    char *line, *rest; /* the line as read; what of it has not been handed over, NULL: nothing */
    size_t room;
    int number;        /* of the line */
    bool wants, taken; /* the line must hold an option; it did */
    char *value;       /* collected from its pieces */
    size_t length;
};

static void where_is(const struct reader *r, char *to, size_t size)
{
    snprintf(to, size, "%.480s:%d: ", r->path, r->number);
}

bool option_needs_quotes(const char *text)
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

/* Hides the ';' of a value in quotes from libinih. Where a comment may begin after it. */
static char *hide_quoted(char *line)
{
    char *equals = strpbrk(line, "=:"),
         *from = equals ? equals + 1 + strspn(equals + 1, " \t") : "", *to = strrchr(line, '"');
    if (*from != '"' || to <= from)
        return line;
    for (char *c = from; c < to; c++)
        if (*c == ';')
            *c = HIDDEN;
    return to;
}

static void cut_comment(char *from)
{
    for (char *c = from; *c; c++)
        if (*c == '#' && c > from && isspace((unsigned char)c[-1]))
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
    char where[512];
    where_is(r, where, sizeof where);
    fatal("%sneither 'name = value' nor a [section] nor a comment", where);
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
    cut_comment(hide_quoted(line));
    r->rest = trim(line);
    r->wants = *r->rest && !strchr(";#[", *r->rest);
    r->taken = false;
    r->length = 0;
    if (*r->rest == '[' && !strchr(r->rest, ']'))
        refuse_line(r);
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
    if (!length || strlen(r->line) > 1 << 16 || (!goes_on && !memchr(r->rest, '=', length)))
        refuse_line(r);
    snprintf(to, (size_t)size, "%s%.*s\n", goes_on ? " " : "", (int)length, r->rest);
    r->rest += length;
    return to;
}

static void finish_value(struct reader *r, const char *name)
{
    char where[512], plain[100];
    char *value = r->value;
    size_t length = strlen(value);
    where_is(r, where, sizeof where);
    if (length > 1 && *value == '"' && value[length - 1] == '"') {
        value[length - 1] = 0;
        value++;
    }
    for (char *c = value; *c; c++)
        if (*c == HIDDEN)
            *c = ';';
    snprintf(plain, sizeof plain, "%s", name);
    for (char *c = plain; *c; c++)
        if (*c == '_')
            *c = '-';
    struct option_entry *e = option_find(r->store, plain);
    if (!e)
        option_unknown(r->store, where, name, NULL);
    if (e->file_line)
        fatal("%s'%s' is already set in line %d; leave one", where, e->row->name, e->file_line);
    e->file_line = r->number;
    option_set(r->store, e->row->name, value, FROM_FILE, where);
}

static int take(void *self, const char *section, const char *name, const char *value)
{
    struct reader *r = self;
    size_t length = strlen(value);
    (void)section;
    r->value = realloc(r->value, r->length + length + 1);
    CHECK(r->value, "no memory for an option's value");
    memcpy(r->value + r->length, value, length + 1);
    r->length += length;
    r->taken = true;
    if (!r->rest)
        finish_value(r, name);
    return 1;
}

/* A file of the user's, else one that came with the program: experiments/slow.ini is found from any
 * folder. */
static FILE *open_file(const char *path)
{
    char own[4200];
    FILE *file = fopen(path, "r");
    if (file || errno != ENOENT || *path == '/' || !data_path(own, sizeof own, path))
        return file;
    return fopen(own, "r");
}

void option_read_file(struct option_store *s, const char *path)
{
    struct reader r = {.store = s, .path = path, .file = open_file(path)};
    for (int i = 0; i < s->entry_count; i++)
        s->entries[i].file_line = 0;
    if (r.file)
        ini_parse_stream(next_line, &r, take, &r);
    if (!r.file || ferror(r.file))
        fatal("--config: cannot read %s (%s)", path, strerror(errno));
    fclose(r.file);
    free(r.line);
    free(r.value);
}
