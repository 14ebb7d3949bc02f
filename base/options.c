/* Options: the store of values, the one setter, and what is written from it. */
#include "base/options.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/ini_file.h"
#include "base/option_store.h"

enum { MAX_CHOICES = 64, MOST_WORDS = 400 };
static const double greatest_whole = 1e15; /* sums and products of a few of them stay exact */
static const double greatest_real = 3e38;  /* in many places they become floats */

static const char *const type_names[] = {
    [OPTION_TEXT] = "text", [OPTION_CHOICE] = "choice", [OPTION_INT] = "int",
    [OPTION_REAL] = "real", [OPTION_FLAG] = "flag",
};

/* Levenshtein's distance; words longer than the row are taken as far. */
static int distance(const char *a, const char *b)
{
    enum { LONGEST = 63 };
    int n = (int)strlen(a), m = (int)strlen(b), row[LONGEST + 1];
    if (n > LONGEST || m > LONGEST)
        return INT_MAX;
    for (int j = 0; j <= m; j++)
        row[j] = j;
    for (int i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[m];
}

const char *options_nearest(const char *word, const char *const *list, int count)
{
    const char *best = NULL;
    int least = (int)strlen(word) / 2 + 2;
    for (int i = 0; i < count; i++)
        if (distance(word, list[i]) < least) {
            least = distance(word, list[i]);
            best = list[i];
        }
    return best;
}

/* Is `word` one of "one|two|three"? */
static bool is_one_of(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (strcspn(at, "|") == length && !memcmp(at, word, length))
            return true;
    return false;
}

bool option_is_named(const struct option_row *row, const char *name)
{
    return !strcmp(row->name, name) || (row->old && is_one_of(row->old, name));
}

struct option_entry *option_find(const struct option_store *s, const char *name)
{
    for (int i = 0; i < s->entry_count; i++)
        if (option_is_named(s->entries[i].row, name))
            return &s->entries[i];
    return NULL;
}

void option_unknown(const struct option_store *s, const char *where, const char *name,
                    const char *const *also)
{
    const char *list[MOST_WORDS];
    int count = 0;
    for (int i = 0; i < s->entry_count && count < MOST_WORDS; i++)
        list[count++] = s->entries[i].row->name;
    for (; also && *also && count < MOST_WORDS; also++)
        list[count++] = *also;
    const char *near = options_nearest(name, list, count);
    if (near)
        fatal("%sunknown option '%s': did you mean '%s'? (--help lists all)", where, name, near);
    fatal("%sunknown option '%s' (--help lists all)", where, name);
}

void option_choices_of(const struct option_store *s, const struct option_row *row,
                       char text[CHOICES_SIZE])
{
    *text = 0;
    if (row->choices)
        snprintf(text, CHOICES_SIZE, "%s", row->choices);
    else if (row->type == OPTION_CHOICE && s->choices)
        s->choices(row->name, text, CHOICES_SIZE);
}

static void check_choice(const struct option_store *s, const struct option_row *row,
                         const char *value, const char *where)
{
    char words[CHOICES_SIZE], all[CHOICES_SIZE], *save = NULL;
    const char *list[MAX_CHOICES];
    int count = 0;
    option_choices_of(s, row, words);
    if (!*words || is_one_of(words, value))
        return;
    memcpy(all, words, sizeof all);
    for (char *word = strtok_r(words, "|", &save); word && count < MAX_CHOICES;
         word = strtok_r(NULL, "|", &save))
        list[count++] = word;
    const char *near = options_nearest(value, list, count);
    fatal("%s--%s: '%s' is not one of %s%s%s%s", where, row->name, value, all,
          near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static bool flag_of(const struct option_row *row, const char *value, const char *where)
{
    if (is_one_of("yes|true|on|1", value))
        return true;
    if (!is_one_of("no|false|off|0", value))
        fatal("%s--%s: '%s' is neither yes nor no", where, row->name, value);
    return false;
}

static double greatest(const struct option_row *row)
{
    return row->most > 0 ? row->most : row->type == OPTION_INT ? greatest_whole : greatest_real;
}

/* "from 1 to 64", "above 0", "from 0 to below 1" */
static _Noreturn void refuse_number(const struct option_row *row, const char *value,
                                    const char *where)
{
    char least[40], most[40];
    bool whole = row->type == OPTION_INT;
    bool bounded = whole || row->most > 0 || strtod(value, NULL) > greatest_real;
    snprintf(least, sizeof least, whole ? "%.0f" : "%g", row->least);
    snprintf(most, sizeof most, whole ? "%.0f" : "%.12g", greatest(row));
    fatal("%s--%s: '%s' is not a %s %s %s%s%s", where, row->name, value,
          whole ? "whole number" : "number", row->flags & OPTION_ABOVE ? "above" : "from", least,
          !bounded && row->flags & OPTION_ABOVE ? ""
          : !bounded                            ? " up"
          : row->flags & OPTION_ABOVE           ? " and at most "
          : row->flags & OPTION_BELOW           ? " to below "
                                                : " to ",
          bounded ? most : "");
}

static void check_range(const struct option_row *row, double number, const char *value,
                        const char *where)
{
    double most = greatest(row);
    bool endless = row->flags & OPTION_ENDLESS && isinf(number) && number > 0;
    bool fits =
        endless || ((row->flags & OPTION_ABOVE ? number > row->least : number >= row->least) &&
                    (row->flags & OPTION_BELOW ? number < most : number <= most));
    if (!fits)
        refuse_number(row, value, where);
}

/* A line break would end the value's line in every file that holds it. */
static void check_text(const struct option_row *row, const char *value, const char *where)
{
    for (const char *c = value; *c; c++)
        if (iscntrl((unsigned char)*c))
            fatal("%s--%s: the value has a control character (code %d) in it", where, row->name,
                  (unsigned char)*c);
}

/* strtod() knows words, hexadecimal digits and blanks beside: one way to write a number will do. */
static bool is_decimal(const struct option_row *row, const char *value)
{
    return !value[strspn(value, "+-.0123456789eE")] ||
           (row->flags & OPTION_ENDLESS && !strcmp(value, "inf"));
}

static void convert(const struct option_store *s, void *field, const struct option_row *row,
                    const char *value, const char *where)
{
    char *end;
    errno = 0;
    switch (row->type) {
    case OPTION_CHOICE:
        check_choice(s, row, value, where);
        *(const char **)field = value;
        break;
    case OPTION_TEXT:
        check_text(row, value, where);
        *(const char **)field = value;
        break;
    case OPTION_INT:
        *(int64_t *)field = strtoll(value, &end, 10);
        if (end == value || *end || errno || !is_decimal(row, value))
            refuse_number(row, value, where);
        check_range(row, (double)*(int64_t *)field, value, where);
        break;
    case OPTION_REAL:
        *(double *)field = strtod(value, &end);
        if (end == value || *end || errno || !is_decimal(row, value))
            refuse_number(row, value, where);
        check_range(row, *(double *)field, value, where);
        break;
    case OPTION_FLAG:
        *(bool *)field = flag_of(row, value, where);
    }
}

static const char *keep_text(struct option_store *s, const char *text)
{
    size_t size = strlen(text) + 1;
    struct option_text *t = xcalloc(1, sizeof *t + size);
    t->next = s->texts;
    s->texts = t;
    return memcpy(t->text, text, size);
}

static void *field_of(const struct option_store *s, const struct option_entry *e)
{
    return (char *)s->values[e->set] + e->row->offset;
}

bool option_set(struct option_store *s, const char *name, const char *value,
                enum option_source source, const char *where)
{
    bool found = false;
    const char *kept = NULL;
    for (int i = 0; i < s->entry_count; i++) {
        struct option_entry *e = &s->entries[i];
        if (!option_is_named(e->row, name))
            continue;
        found = true;
        if (source == FROM_FILE && !kept)
            value = kept = keep_text(s, value);
        if (source < e->source) { /* checked all the same */
            union {
                const char *text;
                int64_t whole;
                double real;
                bool flag;
            } unused;
            convert(s, &unused, e->row, value, where);
            continue;
        }
        convert(s, field_of(s, e), e->row, value, where);
        e->source = source;
    }
    return found;
}

static struct option_store *open_store(struct options *o, const struct option_set *const *sets)
{
    struct option_store *s = xcalloc(1, sizeof *s);
    int rows = 0;
    for (; sets[s->count]; s->count++)
        for (const struct option_row *r = sets[s->count]->rows; r->name; r++)
            rows++;
    s->sets = xcalloc((size_t)s->count + 1, sizeof *s->sets);
    s->values = xcalloc((size_t)s->count + 1, sizeof *s->values);
    s->used = xcalloc((size_t)s->count + 1, sizeof *s->used);
    s->entries = xcalloc((size_t)rows + 1, sizeof *s->entries);
    for (int i = 0; i < s->count; i++) {
        s->sets[i] = sets[i];
        s->values[i] = sets[i]->size ? xcalloc(1, sets[i]->size) : o;
        s->used[i] = !sets[i]->owner;
        for (const struct option_row *r = sets[i]->rows; r->name; r++) {
            struct option_entry *e = &s->entries[s->entry_count++];
            *e = (struct option_entry){.row = r, .set = i};
            convert(s, field_of(s, e), r, r->preset, "");
        }
    }
    return s;
}

void options_parse(struct options *o, const struct option_set *const *sets, int argc, char **argv,
                   const struct option_texts *texts)
{
    memset(o, 0, sizeof *o);
    o->store = open_store(o, sets);
    o->store->choices = texts ? texts->choices : NULL;
    o->store->files = texts ? texts->files : NULL;
    option_read_line(o->store, argc, argv, texts);
}

void options_close(struct options *o)
{
    struct option_store *s = o->store;
    if (!s)
        return;
    for (int i = 0; i < s->count; i++)
        if (s->sets[i]->size)
            xfree(s->values[i]);
    for (struct option_text *t = s->texts, *next; t; t = next) {
        next = t->next;
        xfree(t);
    }
    xfree(s->sets);
    xfree(s->values);
    xfree(s->used);
    xfree(s->entries);
    xfree(s);
    o->store = NULL;
}

const void *options_of(const struct options *o, const struct option_set *set)
{
    for (int i = 0; i < o->store->count; i++)
        if (o->store->sets[i] == set)
            return o->store->values[i];
    CHECK(false, "the options '%s' are not known to this command", set->title);
    return NULL;
}

void options_use(struct options *o, const struct option_set *set)
{
    for (int i = 0; i < o->store->count; i++)
        if (o->store->sets[i] == set)
            o->store->used[i] = true;
}

/* Does a set in use have a row of this name? */
static bool has_effect(const struct option_store *s, const char *name)
{
    for (int i = 0; i < s->entry_count; i++)
        if (s->used[s->entries[i].set] && !strcmp(s->entries[i].row->name, name))
            return true;
    return false;
}

/* "--scheme asgd, --scheme dcasgd": of all sets that have the row. */
static void list_owners(const struct option_store *s, const char *name, char *to, size_t size)
{
    size_t used = 0;
    for (int i = 0; i < s->entry_count && used < size; i++)
        if (!strcmp(s->entries[i].row->name, name))
            used += (size_t)snprintf(to + used, size - used, "%s%s", used ? ", " : "",
                                     s->sets[s->entries[i].set]->owner);
}

void options_refuse_unused(const struct options *o)
{
    const struct option_store *s = o->store;
    char owners[200];
    for (int i = 0; i < s->entry_count; i++) {
        const char *name = s->entries[i].row->name;
        if (s->entries[i].source != FROM_LINE || has_effect(s, name))
            continue;
        list_owners(s, name, owners, sizeof owners);
        fatal("--%s belongs to %s and has no effect in this run; leave it out", name, owners);
    }
}

bool options_given(const struct options *o, const char *name)
{
    const struct option_entry *e = option_find(o->store, name);
    return e && e->source == FROM_LINE;
}

bool options_named(const struct options *o, const char *name)
{
    const struct option_entry *e = option_find(o->store, name);
    return e && e->source != FROM_PRESET;
}

/* The shortest decimal that reads back as the same number. */
static void write_real(FILE *to, double value)
{
    char text[40];
    int digits = 6;
    do
        snprintf(text, sizeof text, "%.*g", digits, value);
    while (strtod(text, NULL) != value && digits++ < 17);
    fputs(text, to);
}

static void write_value(FILE *to, const struct option_row *row, const void *field)
{
    const char *text;
    switch (row->type) {
    case OPTION_TEXT:
    case OPTION_CHOICE:
        text = *(const char *const *)field;
        fprintf(to, ini_needs_quotes(text) ? "\"%s\"" : "%s", text);
        break;
    case OPTION_INT:
        fprintf(to, "%" PRId64, *(const int64_t *)field);
        break;
    case OPTION_REAL:
        write_real(to, *(const double *)field);
        break;
    case OPTION_FLAG:
        fputs(*(const bool *)field ? "yes" : "no", to);
    }
    putc('\n', to);
}

/* A name that several sets in use have is written once. */
static void write_rows(const struct options *o, FILE *to, const char *prefix, const char *between,
                       unsigned with, unsigned without)
{
    const struct option_store *s = o->store;
    for (int i = 0; i < s->entry_count; i++) {
        const struct option_entry *e = &s->entries[i];
        bool written = false;
        for (int k = 0; k < i; k++)
            written |= s->used[s->entries[k].set] && !strcmp(s->entries[k].row->name, e->row->name);
        if (written || !s->used[e->set] || e->row->flags & (without | OPTION_ACTION) ||
            (with && !(e->row->flags & with)))
            continue;
        fprintf(to, "%s%s%s", prefix, e->row->name, between);
        write_value(to, e->row, field_of(s, e));
    }
}

void options_write(const struct options *o, FILE *to, const char *prefix, const char *between,
                   unsigned without)
{
    write_rows(o, to, prefix, between, 0, without);
}

void options_write_only(const struct options *o, FILE *to, const char *prefix, const char *between,
                        unsigned with)
{
    write_rows(o, to, prefix, between, with, 0);
}

void options_print(const struct options *o, FILE *to)
{
    for (int i = 0; i < o->store->entry_count; i++) {
        const struct option_entry *e = &o->store->entries[i];
        const struct option_row *r = e->row;
        char choices[CHOICES_SIZE];
        option_choices_of(o->store, r, choices);
        const struct option_set *set = o->store->sets[e->set];
        fprintf(to, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r->name, type_names[r->type], r->preset,
                r->help, set->title, choices, r->placeholder ? r->placeholder : "",
                set->owner ? set->owner : "");
    }
}
