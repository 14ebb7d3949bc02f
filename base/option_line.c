/* The command line, by argp; its list is made from the rows. argp accepts abbreviations and one
 * dash, and its messages name nothing that is near: take() refuses the first, last_word() finds
 * the word for messages of our own. */
#include <argp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/option_store.h"

enum {
    CONFIG_KEY = 900,
    VERSION_KEY,
    HELP_KEY,
    FIRST_KEY = 1000,
    NAME_SIZE = 60,
    HELP_SIZE = 1000
};

static const char *const program_words[] = {"config", "help", "version", NULL};

struct parse {
    struct option_store *store;
    const struct option_texts *texts;
    const struct argp *argp;
};

/* The word that argp looked at last: "--name", "--name=value". */
static const char *last_word(const struct argp_state *state, const char *arg)
{
    int at = state->next - 1;
    return state->argv[arg && arg == state->argv[at] ? at - 1 : at];
}

/* Cuts the name out of "--name=value"; a single dash is refused. */
static void name_of(const char *word, char *to, size_t size)
{
    if (strncmp(word, "--", 2))
        fatal("'%s': options begin with two dashes (--help lists all)", word);
    snprintf(to, size, "%.*s", (int)strcspn(word + 2, "="), word + 2);
}

/* argp found no such option, or no value, or one too many. */
static _Noreturn void refuse_word(const struct parse *p, const char *word)
{
    char name[128];
    name_of(word, name, sizeof name);
    const struct option_entry *e = option_find(p->store, name),
                              *negated =
                                  strncmp(name, "no-", 3) ? NULL : option_find(p->store, name + 3);
    bool bare = !strcmp(name, "help") || !strcmp(name, "version") ||
                (e ? e->row->flags & OPTION_ACTION
                   : negated && negated->row->type == OPTION_FLAG &&
                         !(negated->row->flags & OPTION_ACTION));
    if (!e && !bare && strcmp(name, "config"))
        option_unknown(p->store, "", name, program_words);
    if (bare)
        fatal("--%s takes no value", name);
    fatal("--%s wants a value (--help lists all)", name);
}

/* No abbreviations: what is short for one option today is short for two tomorrow. */
static void check_whole(const struct parse *p, const char *word, const char *name)
{
    char given[128];
    name_of(word, given, sizeof given);
    if (strcmp(given, name))
        option_unknown(p->store, "", given, program_words);
}

static void take_row(struct parse *p, const char *word, const struct option_row *row,
                     const char *arg, bool negated)
{
    char name[128];
    name_of(word, name, sizeof name);
    if (!option_is_named(row, negated ? name + 3 : name))
        option_unknown(p->store, "", name, program_words);
    option_set(p->store, row->name, negated ? "no" : arg ? arg : "yes", FROM_LINE, "");
}

static error_t take(int key, char *arg, struct argp_state *state)
{
    struct parse *p = state->input;
    int entries = p->store->entry_count;
    if (key == CONFIG_KEY) {
        check_whole(p, last_word(state, arg), "config");
        option_read_file(p->store, arg);
    } else if (key == VERSION_KEY) {
        check_whole(p, last_word(state, arg), "version");
        if (p->texts && p->texts->version)
            p->texts->version(stdout);
        exit(0);
    } else if (key == HELP_KEY) {
        check_whole(p, last_word(state, arg), "help");
        argp_help(p->argp, stdout, ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC,
                  state->name);
        exit(0);
    } else if (key == ARGP_KEY_ARG) {
        fatal("'%s' stands alone: options begin with --", arg);
    } else if (key == ARGP_KEY_ERROR) {
        refuse_word(p, state->argv[state->next - 1]);
    } else if (key >= FIRST_KEY && key < FIRST_KEY + 2 * entries) {
        int i = key - FIRST_KEY;
        take_row(p, last_word(state, arg), p->store->entries[i % entries].row, arg, i >= entries);
    } else {
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

struct table {
    struct argp_option *end;
    char *text; /* where the next text goes */
};

static const char *print(struct table *t, const char *prefix, const char *text, size_t length)
{
    char *at = t->text;
    t->text += sprintf(at, "%s%.*s", prefix, (int)length, text) + 1;
    return at;
}

/* A name, hidden or not; of a flag --no-NAME, too. */
static void add_name(struct table *t, const struct option_store *s, int i, const char *name,
                     size_t length, bool hidden)
{
    const struct option_row *r = s->entries[i].row;
    int group = s->entries[i].set + 1;
    bool flag = r->type == OPTION_FLAG, action = r->flags & OPTION_ACTION;
    char choices[CHOICES_SIZE], *help = t->text;
    option_choices_of(s, r, choices);
    t->text += snprintf(help, HELP_SIZE, *r->preset && !action ? "%s%s%s [%s]" : "%s%s%s", choices,
                        *choices ? ": " : "", r->help, r->preset) +
               1;
    *t->end++ = (struct argp_option){
        .name = print(t, "", name, length),
        .key = FIRST_KEY + i,
        .arg = action           ? NULL
               : flag           ? "yes|no"
               : r->placeholder ? r->placeholder
                                : "WORD",
        .flags = ((flag && !action) || r->flags & OPTION_BARE ? OPTION_ARG_OPTIONAL : 0) |
                 (hidden ? OPTION_HIDDEN : 0),
        .doc = help,
        .group = group};
    if (flag && !action)
        *t->end++ = (struct argp_option){.name = print(t, "no-", name, length),
                                         .key = FIRST_KEY + s->entry_count + i,
                                         .flags = OPTION_HIDDEN,
                                         .group = group};
}

static void add_program_words(struct table *t, int group)
{
    *t->end++ = (struct argp_option){.doc = "Files and help", .group = group};
    *t->end++ = (struct argp_option){
        "config", CONFIG_KEY, "FILE", 0, "options from a file, name = value; the command line wins",
        group};
    *t->end++ = (struct argp_option){"help", HELP_KEY, NULL, 0, "this", group};
    *t->end++ = (struct argp_option){
        "version", VERSION_KEY, NULL, 0, "backends and libraries with their versions", group};
}

/* A heading for each set, an option for each row, a hidden one for each former name. */
static void make_table(struct table *t, const struct option_store *s)
{
    int set = -1;
    for (int i = 0; i < s->entry_count; i++) {
        const struct option_row *r = s->entries[i].row;
        if (s->entries[i].set != set) {
            set = s->entries[i].set;
            *t->end++ = (struct argp_option){.doc = s->sets[set]->title, .group = set + 1};
        }
        add_name(t, s, i, r->name, strlen(r->name), false);
        for (const char *old = r->old; old; old = strchr(old, '|') ? strchr(old, '|') + 1 : NULL)
            add_name(t, s, i, old, strcspn(old, "|"), true);
    }
    add_program_words(t, s->count + 1);
}

/* Room for the table: entries, and bytes of their texts. */
static void measure(const struct option_store *s, size_t *entries, size_t *bytes)
{
    *entries = (size_t)s->count + 10;
    *bytes = 1;
    for (int i = 0; i < s->entry_count; i++) {
        size_t names = 1;
        for (const char *c = s->entries[i].row->old; c && *c; c++)
            names += *c == '|' || c == s->entries[i].row->old;
        *entries += 2 * names;
        *bytes += names * (HELP_SIZE + 2 * NAME_SIZE);
    }
}

void option_read_line(struct option_store *s, int argc, char **argv,
                      const struct option_texts *texts)
{
    size_t entries, bytes, size;
    measure(s, &entries, &bytes);
    struct argp_option *list = xcalloc(entries, sizeof *list);
    char *pool = xcalloc(bytes, 1), *doc = NULL;
    struct table t = {list, pool};
    make_table(&t, s);
    FILE *to = open_memstream(&doc, &size);
    CHECK(to, "no memory for the list of options");
    fprintf(to, "%s\v%s", texts ? texts->summary : "", texts ? texts->epilog : "");
    fclose(to);
    struct argp argp = {.options = list, .parser = take, .doc = doc};
    struct parse p = {s, texts, &argp};
    argp_parse(&argp, argc, argv, ARGP_NO_HELP | ARGP_IN_ORDER | ARGP_NO_ERRS | ARGP_LONG_ONLY,
               NULL, &p);
    free(doc);
    xfree(list);
    xfree(pool);
}
