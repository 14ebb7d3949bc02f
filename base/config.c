/* From the one list of options to the struct, the parser, --help and the file.
 *
 * Both the command line, which goes through argp, and configuration files end in set(), which
 * checks and converts. */
#include "base/config.h"

#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"

enum type { TEXT, INT, REAL, FLAG };
enum group {
    WHAT = 1,
    DATA,
    WORK,
    RATE,
    MACHINE,
    SLOWNESS,
    NBSSGD,
    SCHEMES,
    SIM,
    RESULTS,
    PROGRAM
};
enum { FIRST_KEY = 1000, CONFIG_KEY = 900, VERSION_KEY, HELP_KEY, NAME_SIZE = 40, POOL_SIZE = 512 };

struct entry {
    enum group group;
    enum type type;
    const char *field, *preset, *placeholder, *help;
    size_t offset;
};

#define ENTRY(group, type, field, preset, placeholder, help)                                       \
    {group, type, #field, preset, placeholder, help, offsetof(struct options, field)},
static const struct entry entries[] = {OPTIONS(ENTRY)};
enum { ENTRIES = sizeof entries / sizeof *entries };

static const char *const headings[] = {
    [WHAT] = "What is trained",
    [DATA] = "Data",
    [WORK] = "Batches, and when to stop",
    [RATE] = "Optimizer and learning rate",
    [MACHINE] = "Ranks, messages and what computes",
    [SLOWNESS] = "Slowness, the same for every scheme",
    [NBSSGD] = "nbssgd's open choices (the default first)",
    [SCHEMES] = "Other schemes' own options",
    [SIM] = "The simulated network (--world sim)",
    [RESULTS] = "Evaluation, results and weights",
    [PROGRAM] = "The program",
};

static void option_name(char *to, const struct entry *e)
{
    snprintf(to, NAME_SIZE, "%s", e->field);
    for (char *c = to; *c; c++)
        if (*c == '_')
            *c = '-';
}

/* Levenshtein's distance; words longer than the row are taken as far. */
static int distance(const char *a, const char *b)
{
    enum { LONGEST = 63 };
    int n = (int)strlen(a), m = (int)strlen(b), row[LONGEST + 1];
    if (n > LONGEST || m > LONGEST)
        return LONGEST;
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

const char *config_nearest(const char *word, const char *const *list, int count)
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

/* The rule is the same for `--name` and for `name =`: unknown ones name their nearest. */
static _Noreturn void unknown_option(const char *where, const char *name)
{
    char names[ENTRIES + 3][NAME_SIZE];
    const char *list[ENTRIES + 3];
    for (int i = 0; i < ENTRIES; i++) {
        option_name(names[i], &entries[i]);
        list[i] = names[i];
    }
    list[ENTRIES] = "config";
    list[ENTRIES + 1] = "help";
    list[ENTRIES + 2] = "version";
    /* a file takes none of these three */
    const char *near = config_nearest(name, list, *where ? ENTRIES : ENTRIES + 3);
    if (near)
        fatal("%sunknown option '%s': did you mean '%s'? (--help lists all)", where, name, near);
    fatal("%sunknown option '%s' (--help lists all)", where, name);
}

/* A choice's help begins with its words; checks that `value` is one of them. */
static void check_choice(const struct entry *e, const char *value, const char *where)
{
    const char *end = strchr(e->help, ':'), *bar = strchr(e->help, '|');
    if (!end || !bar || bar > end || memchr(e->help, ' ', (size_t)(end - e->help)))
        return;
    char words[200], *save = NULL;
    const char *list[16];
    int count = 0;
    snprintf(words, sizeof words, "%.*s", (int)(end - e->help), e->help);
    for (char *word = strtok_r(words, "|", &save); word && count < 16;
         word = strtok_r(NULL, "|", &save)) {
        if (!strcmp(word, value))
            return;
        list[count++] = word;
    }
    const char *near = config_nearest(value, list, count);
    char name[NAME_SIZE];
    option_name(name, e);
    fatal("%s--%s: '%s' is not one of %.*s%s%s%s", where, name, value, (int)(end - e->help),
          e->help, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static bool flag_of(const char *name, const char *value, const char *where)
{
    if (!value || !strcmp(value, "yes") || !strcmp(value, "true") || !strcmp(value, "on") ||
        !strcmp(value, "1"))
        return true;
    if (strcmp(value, "no") && strcmp(value, "false") && strcmp(value, "off") && strcmp(value, "0"))
        fatal("%s--%s: '%s' is neither yes nor no", where, name, value);
    return false;
}

/* `where`: "FILE:LINE: ", or nothing for the command line. */
static void set(struct options *o, const struct entry *e, const char *value, const char *where)
{
    char name[NAME_SIZE], *end;
    void *field = (char *)o + e->offset;
    option_name(name, e);
    errno = 0;
    if (e->type == TEXT) {
        check_choice(e, value, where);
        *(const char **)field = value;
    } else if (e->type == INT) {
        *(int64_t *)field = strtoll(value, &end, 10);
        if (end == value || *end || errno || *(int64_t *)field < 0)
            fatal("%s--%s: '%s' is not a whole number from 0 up", where, name, value);
    } else if (e->type == REAL) {
        *(double *)field = strtod(value, &end);
        if (end == value || *end || !isfinite(*(double *)field) || *(double *)field < 0)
            fatal("%s--%s: '%s' is not a number from 0 up", where, name, value);
    } else {
        *(bool *)field = flag_of(name, value, where);
    }
}

static const struct entry *find(const char *name)
{
    char known[NAME_SIZE];
    for (int i = 0; i < ENTRIES; i++) {
        option_name(known, &entries[i]);
        if (!strcmp(known, name) || !strcmp(entries[i].field, name))
            return &entries[i];
    }
    return NULL;
}

struct config_text {
    struct config_text *next;
    char text[];
};

static const char *keep(struct options *o, const char *text)
{
    size_t size = strlen(text) + 1;
    struct config_text *t = xcalloc(1, sizeof *t + size);
    t->next = o->texts;
    o->texts = t;
    return memcpy(t->text, text, size);
}

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    for (char *end = strchr(text, 0); end > text && isspace((unsigned char)end[-1]);)
        *--end = 0;
    return text;
}

/* A value is all that stands behind the '=': there is a ';' in a list of delays, so that none
 * begins a comment there. */
static void take_line(struct options *o, char *line, const char *where)
{
    char *name = trim(line), *equals = strchr(name, '=');
    if (!*name || strchr("#;[", *name))
        return;
    if (!equals)
        fatal("%sneither 'name = value' nor a [section] nor a comment", where);
    *equals = 0;
    const struct entry *e = find(trim(name));
    if (!e)
        unknown_option(where, trim(name));
    char *value = trim(equals + 1);
    set(o, e, e->type == TEXT ? keep(o, value) : value, where);
}

static void read_file(struct options *o, const char *path)
{
    char *line = NULL, where[512];
    size_t room = 0;
    FILE *file = fopen(path, "r");
    for (int number = 1; file && getline(&line, &room, file) >= 0; number++) {
        snprintf(where, sizeof where, "%.480s:%d: ", path, number);
        take_line(o, line, where);
    }
    if (!file || ferror(file))
        fatal("--config: cannot read %s (%s)", path, strerror(errno));
    fclose(file);
    free(line);
}

struct parse {
    struct options *o;
    void (*version)(FILE *);
    bool files; /* this pass reads --config, the next one everything else */
};

static error_t take(int key, char *arg, struct argp_state *state)
{
    struct parse *p = state->input;
    if (key == CONFIG_KEY) {
        if (p->files)
            read_file(p->o, arg);
    } else if (key == VERSION_KEY) {
        p->version(stdout);
        exit(0);
    } else if (key == HELP_KEY) {
        argp_state_help(state, stdout,
                        ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC | ARGP_HELP_EXIT_OK);
    } else if (key == ARGP_KEY_ARG) {
        fatal("'%s' stands alone: options begin with --", arg);
    } else if (key >= FIRST_KEY && key < FIRST_KEY + ENTRIES) {
        if (!p->files)
            set(p->o, &entries[key - FIRST_KEY], arg ? arg : "yes", "");
    } else if (key >= FIRST_KEY + ENTRIES && key < FIRST_KEY + 2 * ENTRIES) {
        if (!p->files)
            set(p->o, &entries[key - FIRST_KEY - ENTRIES], "no", "");
    } else {
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* argp's own messages are two lines each and name nothing that is near, so that what it would
 * refuse is looked at before. */
static void check_names(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char name[128];
        if (argv[i][0] == '-' && argv[i][1] && argv[i][1] != '-')
            fatal("'%s': options begin with two dashes (--help lists all)", argv[i]);
        if (strncmp(argv[i], "--", 2) || !argv[i][2])
            continue;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(argv[i] + 2, "="), argv[i] + 2);
        const struct entry *e = strchr(name, '_') ? NULL : find(name),
                           *negated = strncmp(name, "no-", 3) ? NULL : find(name + 3);
        bool bare = !strcmp(name, "help") || !strcmp(name, "version") ||
                    (!e && negated && negated->type == FLAG);
        if (!e && !bare && strcmp(name, "config"))
            unknown_option("", name);
        bool has_value = strchr(argv[i], '='), wants = !bare && !(e && e->type == FLAG);
        if (bare && has_value)
            fatal("--%s takes no value", name);
        if (wants && !has_value && ++i == argc) /* the next word, which may look like an option */
            fatal("--%s wants a value (--help lists all)", name);
    }
}

/* One argp option for each entry, one hidden --no-NAME for each flag, a heading for each group.
 * Texts go to the pool. */
static void make_table(struct argp_option *table, char (*pool)[POOL_SIZE])
{
    struct argp_option *end = table;
    for (int g = WHAT; g <= RESULTS; g++) {
        *end++ = (struct argp_option){.doc = headings[g], .group = g};
        for (int i = 0; i < ENTRIES; i++) {
            const struct entry *e = &entries[i];
            if ((int)e->group != g)
                continue;
            char *text = pool[i], *no = text + NAME_SIZE, *help = no + NAME_SIZE;
            option_name(text, e);
            memcpy(no, "no-", 3);
            option_name(no + 3, e);
            snprintf(help, POOL_SIZE - 2 * NAME_SIZE, *e->preset ? "%s [%s]" : "%s", e->help,
                     e->preset);
            bool flag = e->type == FLAG;
            *end++ = (struct argp_option){text,
                                          FIRST_KEY + i,
                                          flag ? "yes|no" : e->placeholder,
                                          flag ? OPTION_ARG_OPTIONAL : 0,
                                          help,
                                          g};
            if (flag)
                *end++ =
                    (struct argp_option){no, FIRST_KEY + ENTRIES + i, NULL, OPTION_HIDDEN, NULL, g};
        }
    }
    *end++ = (struct argp_option){.doc = headings[PROGRAM], .group = PROGRAM};
    *end++ = (struct argp_option){
        "config", CONFIG_KEY, "FILE", 0, "options from a file, name = value; the command line wins",
        PROGRAM};
    *end++ = (struct argp_option){"help", HELP_KEY, NULL, 0, "this", PROGRAM};
    *end++ = (struct argp_option){
        "version", VERSION_KEY, NULL, 0, "backends and libraries with their versions", PROGRAM};
}

void config_parse(struct options *o, int argc, char **argv, const char *epilog,
                  void (*version)(FILE *))
{
    for (int i = 0; i < ENTRIES; i++)
        set(o, &entries[i], entries[i].preset, "");
    check_names(argc, argv);
    size_t size = strlen(epilog) + 200;
    char *doc = xcalloc(size, 1);
    snprintf(doc, size,
             "Trains a network by distributed SGD over MPI: rank 0 is a parameter server, the "
             "others are workers.\v%s",
             epilog);
    struct argp_option *table = xcalloc(3 * ENTRIES + 20, sizeof *table);
    char(*pool)[POOL_SIZE] = xcalloc(ENTRIES, POOL_SIZE);
    make_table(table, pool);
    struct argp argp = {.options = table, .parser = take, .doc = doc};
    argp_err_exit_status = EXIT_USER;
    struct parse p = {o, version, true};
    argp_parse(&argp, argc, argv, ARGP_NO_HELP | ARGP_IN_ORDER, NULL, &p);
    p.files = false;
    argp_parse(&argp, argc, argv, ARGP_NO_HELP | ARGP_IN_ORDER, NULL, &p);
    xfree(doc);
    xfree(table);
    xfree(pool);
}

/* The shortest decimal that reads back as the same number. */
static void write_real(FILE *to, double value)
{
    char text[40];
    int digits = 6;
    do
        snprintf(text, sizeof text, "%.*g", digits, value);
    while (strtod(text, NULL) != value && digits++ < 17);
    fprintf(to, "%s\n", text);
}

void config_write(const struct options *o, FILE *to, const char *prefix, const char *between)
{
    for (int i = 0; i < ENTRIES; i++) {
        const struct entry *e = &entries[i];
        const void *field = (const char *)o + e->offset;
        char name[NAME_SIZE];
        option_name(name, e);
        fprintf(to, "%s%s%s", prefix, name, between);
        if (e->type == TEXT)
            fprintf(to, "%s\n", *(const char *const *)field);
        else if (e->type == INT)
            fprintf(to, "%lld\n", (long long)*(const int64_t *)field);
        else if (e->type == REAL)
            write_real(to, *(const double *)field);
        else
            fprintf(to, "%s\n", *(const bool *)field ? "yes" : "no");
    }
}
