/* Reading: each line goes to its section; what [study] says is read when all files are there. */
#include "study/experiment.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/file.h"
#include "base/ini_file.h"
#include "base/options.h"
#include "base/text.h"
#include "study/private.h"

enum { MOST_PATHS = 16, PATH_SIZE = 4400 };

static const char *const kinds[SECTION_KINDS] = {
    [SECTION_STUDY] = "study",     [SECTION_BASE] = "base",         [SECTION_CASE] = "case",
    [SECTION_SETTING] = "setting", [SECTION_EXCEPTION] = "setting", [SECTION_TUNE] = "tune",
    [SECTION_FOLDS] = "folds"};

static const char *const study_words[] = {"title", "seeds", "targets", "include", NULL};

struct loading {
    struct experiment *e;
    int current; /* the section that lines go to; -1: none yet */
};

void *grown(void *list, int count, size_t size)
{
    if (count & (count - 1)) /* doubled at powers of two */
        return list;
    list = realloc(list, 2 * (size_t)(count ? count : 1) * size);
    CHECK(list, "no memory for a list of %d", count);
    return list;
}

void refuse(const struct assignment *a, const char *what)
{
    char where[INI_WHERE];
    ini_where(a->path, a->line, where);
    fatal("%s%s: %s", where, a->name, what);
}

const struct section *experiment_section(const struct experiment *e, enum section_kind kind, int n)
{
    for (int i = 0; i < e->section_count; i++)
        if (e->sections[i].kind == kind && !n--)
            return &e->sections[i];
    return NULL;
}

int experiment_count(const struct experiment *e, enum section_kind kind)
{
    int count = 0;
    for (int i = 0; i < e->section_count; i++)
        count += e->sections[i].kind == kind;
    return count;
}

const struct section *experiment_find(const struct experiment *e, enum section_kind kind,
                                      const char *name, const char *in)
{
    for (int i = 0; i < e->section_count; i++) {
        const struct section *s = &e->sections[i];
        if (s->kind == kind && !strcmp(s->name, name) && !strcmp(s->in, in))
            return s;
    }
    return NULL;
}

const struct assignment *section_get(const struct section *s, const char *name)
{
    for (int i = 0; s && i < s->count; i++)
        if (!strcmp(s->list[i].name, name))
            return &s->list[i];
    return NULL;
}

static bool has_word(const char *list, const char *word)
{
    static const char blanks[] = " \t,";
    size_t length = strlen(word);
    for (const char *at = list; *(at += strspn(at, blanks)); at += strcspn(at, blanks))
        if (strcspn(at, blanks) == length && !strncmp(at, word, length))
            return true;
    return false;
}

bool experiment_has(const struct section *scene, const struct section *setting)
{
    const struct assignment *only = section_get(scene, "settings");
    return !only || has_word(only->value, setting->name);
}

/* --- sections --- */

static bool is_name(const char *text)
{
    size_t length = strlen(text);
    return length && length < SECTION_NAME && isalnum((unsigned char)*text) &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               length;
}

static _Noreturn void refuse_section(const struct ini_line *line, const char *why)
{
    char where[INI_WHERE];
    ini_where(line->path, line->number, where);
    fatal("%s[%s]: %s", where, line->section, why);
}

static enum section_kind kind_of(const struct ini_line *line, const char *word)
{
    char why[200];
    for (int k = 0; k < SECTION_KINDS; k++)
        if (!strcmp(kinds[k], word))
            return (enum section_kind)k;
    const char *near = options_nearest(word, kinds, SECTION_KINDS);
    snprintf(why, sizeof why,
             "no section of an experiment%s%s%s; there are study, base, case NAME, setting NAME, "
             "setting NAME in CASE, tune, folds",
             near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    refuse_section(line, why);
}

/* "case NAME", "setting NAME in CASE", .. into *s. */
static void name_section(const struct ini_line *line, struct section *s)
{
    char text[256], *save = NULL, *word[5] = {NULL};
    int words = 0;
    snprintf(text, sizeof text, "%s", line->section);
    for (char *w = strtok_r(text, " \t", &save); w && words < 5; w = strtok_r(NULL, " \t", &save))
        word[words++] = w;
    s->kind = kind_of(line, words ? word[0] : "");
    bool named = s->kind == SECTION_CASE || s->kind == SECTION_SETTING;
    bool fits = words == (named ? 2 : 1) || (s->kind == SECTION_TUNE && words == 2);
    if (s->kind == SECTION_SETTING && words == 4 && !strcmp(word[2], "in")) {
        s->kind = SECTION_EXCEPTION;
        fits = true;
    }
    if (!fits)
        refuse_section(line, named ? "give it one name: [case NAME], [setting NAME] or [setting "
                                     "NAME in CASE]"
                                   : "it takes no name");
    for (int i = 1; i < words; i += 2)
        if (!is_name(word[i]))
            refuse_section(line, "a name has at most 47 letters, digits, '.', '_' and '-', and "
                                 "begins with a letter or a digit");
    snprintf(s->name, sizeof s->name, "%s", words > 1 ? word[1] : "");
    snprintf(s->in, sizeof s->in, "%s", words > 3 ? word[3] : "");
}

/* What may come again, in an included file. */
static bool may_come_again(const struct section *old, const struct section *s)
{
    return s->kind == SECTION_STUDY || s->kind == SECTION_BASE ||
           (s->kind == SECTION_EXCEPTION && s->path != old->path);
}

static void begin_section(struct loading *l, const struct ini_line *line)
{
    struct experiment *e = l->e;
    struct section s = {.path = line->path, .line = line->number};
    char why[600];
    name_section(line, &s);
    for (int i = 0; i < e->section_count; i++) {
        const struct section *old = &e->sections[i];
        if (old->kind != s.kind || strcmp(old->name, s.name) || strcmp(old->in, s.in))
            continue;
        l->current = i;
        if (may_come_again(old, &s))
            return;
        snprintf(why, sizeof why, "there is one already, %.480s:%d; give each its own name",
                 old->path, old->line);
        refuse_section(line, why);
    }
    e->sections = grown(e->sections, e->section_count, sizeof *e->sections);
    l->current = e->section_count;
    e->sections[e->section_count++] = s;
}

static void take(void *self, const struct ini_line *line)
{
    struct loading *l = self;
    struct assignment a = {.path = line->path, .line = line->number};
    char why[600];
    if (!line->name) {
        begin_section(l, line);
        return;
    }
    a.name = strdup(line->name);
    a.value = strdup(line->value);
    CHECK(a.name && a.value, "no memory for %s", line->path);
    for (char *c = a.name; *c; c++)
        *c = *c == '_' ? '-' : *c;
    if (l->current < 0)
        refuse(&a, "it stands before the first [section]; options of every run go into [base]");
    struct section *s = &l->e->sections[l->current];
    struct assignment *old = (struct assignment *)section_get(s, a.name);
    if (old && s->kind == SECTION_EXCEPTION && old->path != a.path) { /* what was tuned wins */
        free(old->name);
        free(old->value);
        *old = a;
        return;
    }
    if (old) {
        snprintf(why, sizeof why, "it is already set in %.480s:%d; leave one", old->path,
                 old->line);
        refuse(&a, why);
    }
    s->list = grown(s->list, s->count, sizeof *s->list);
    s->list[s->count++] = a;
}

/* --- files --- */

static void read_file(struct loading *l, const char *path)
{
    size_t bytes;
    struct experiment *e = l->e;
    char *text = ini_load(path, &bytes), *own = strdup(path);
    if (!text && errno == EFBIG)
        fatal("%s: more than %d bytes: this is no experiment", path, INI_MOST);
    if (!text)
        fatal("cannot read the experiment %s (%s)", path, file_why(errno));
    CHECK(own, "no memory for %s", path);
    if (e->path_count == MOST_PATHS)
        fatal("%s: more than %d files in one experiment: they may include each other", path,
              MOST_PATHS);
    e->paths = grown(e->paths, e->path_count, sizeof *e->paths);
    e->paths[e->path_count++] = own;
    l->current = -1;
    ini_read(own, text, bytes, take, l);
    xfree(text);
}

/* In the folder of results, else beside the file that includes it. */
static bool find_included(const struct experiment_request *r, const struct assignment *a,
                          const char *name, char path[PATH_SIZE])
{
    const char *slash = strrchr(a->path, '/');
    if (r->results && *name != '/') {
        snprintf(path, PATH_SIZE, "%s/%s", r->results, name);
        if (!access(path, R_OK))
            return true;
    }
    snprintf(path, PATH_SIZE, "%.*s%s", slash && *name != '/' ? (int)(slash - a->path) + 1 : 0,
             a->path, name);
    return !access(path, R_OK);
}

static bool is_left_out(const struct experiment_request *r, const char *name)
{
    for (const char *const *out = r->left_out; out && *out; out++)
        if (!strcmp(*out, name))
            return true;
    return false;
}

/* Judged without a file that is written later: said, since its options are not judged. */
static bool is_to_come(struct experiment *e, const struct experiment_request *r, const char *name)
{
    bool targets = !strcmp(name, "targets.ini");
    if (!r->check || !(targets || !strcmp(name, "tuned.ini")))
        return false;
    e->to_come = true;
    fprintf(stderr, "%s is not there yet: nbsgd tune%s writes it\n", name,
            targets ? " --targets" : "");
    return true;
}

static void read_included(struct loading *l, const struct experiment_request *r,
                          struct assignment a)
{
    char path[PATH_SIZE], why[PATH_SIZE + 100], *save = NULL, *list = strdup(a.value);
    CHECK(list, "no memory for %s", a.value);
    for (char *name = strtok_r(list, " \t,", &save); name; name = strtok_r(NULL, " \t,", &save)) {
        if (is_left_out(r, name))
            continue;
        if (find_included(r, &a, name, path)) {
            read_file(l, path);
        } else if (!is_to_come(l->e, r, name)) {
            snprintf(why, sizeof why,
                     "cannot read %.300s, neither in the folder of results nor beside this file; "
                     "nbsgd tune writes tuned.ini and targets.ini",
                     name);
            refuse(&a, why);
        }
    }
    free(list);
}

/* --- what [study] says --- */

static void read_study(struct experiment *e, const char *path)
{
    const struct section *study = experiment_find(e, SECTION_STUDY, "", "");
    const struct assignment *title = section_get(study, "title"),
                            *seeds = section_get(study, "seeds"),
                            *targets = section_get(study, "targets");
    const char *slash = strrchr(path, '/');
    for (int i = 0; study && i < study->count; i++) {
        bool known = false;
        for (int k = 0; study_words[k]; k++)
            known |= !strcmp(study_words[k], study->list[i].name);
        if (!known)
            refuse(&study->list[i],
                   "[study] has title, seeds, targets and include; options go into [base]");
    }
    const char *name = title ? title->value : slash ? slash + 1 : path;
    snprintf(e->title, sizeof e->title, "%.*s", (int)text_whole(name, sizeof e->title - 1), name);
    if (!seeds)
        fatal("%s: [study] seeds are missing: a study runs each setting with each seed, as with "
              "'seeds = 1-10'",
              path);
    e->seeds = numbers_of(seeds, &e->seed_count);
    if (targets)
        e->target_count = percentages_of(targets, e->targets);
}

/* What a case says of its settings. */
static void check_settings(const struct experiment *e, const struct section *scene)
{
    const struct assignment *only = section_get(scene, "settings");
    char why[200], *save = NULL, *list = only ? strdup(only->value) : NULL;
    int count = 0;
    if (!only)
        return;
    CHECK(list, "no memory for %s", only->value);
    for (char *word = strtok_r(list, " \t,", &save); word; word = strtok_r(NULL, " \t,", &save)) {
        count++;
        if (experiment_find(e, SECTION_SETTING, word, ""))
            continue;
        snprintf(why, sizeof why, "there is no [setting %.100s]", word);
        refuse(only, why);
    }
    free(list);
    if (!count)
        refuse(only, "there is none; say which are run in this case, or leave it out: all are");
}

static void check_names(const struct experiment *e, const char *path)
{
    for (int i = 0; i < e->section_count; i++) {
        const struct section *s = &e->sections[i];
        bool exception = s->kind == SECTION_EXCEPTION;
        if (s->kind == SECTION_CASE)
            check_settings(e, s);
        if (!exception && !(s->kind == SECTION_TUNE && *s->name))
            continue;
        if (!experiment_find(e, SECTION_SETTING, s->name, ""))
            fatal("%s:%d: there is no [setting %s]", s->path, s->line, s->name);
        if (exception && !experiment_find(e, SECTION_CASE, s->in, ""))
            fatal("%s:%d: there is no [case %s]", s->path, s->line, s->in);
        if (exception && !experiment_has(experiment_find(e, SECTION_CASE, s->in, ""), s))
            fatal("%s:%d: [setting %s] is not run in [case %s], which says its settings", s->path,
                  s->line, s->name, s->in);
    }
    if (!experiment_count(e, SECTION_SETTING))
        fatal("%s: there is nothing to run: no [setting NAME] with a scheme and its options", path);
}

static void add_default_case(struct experiment *e, const char *path)
{
    if (experiment_count(e, SECTION_CASE))
        return;
    e->sections = grown(e->sections, e->section_count, sizeof *e->sections);
    e->sections[e->section_count++] =
        (struct section){.kind = SECTION_CASE, .name = "default", .path = path, .line = 1};
}

struct experiment *experiment_load(const struct experiment_request *r)
{
    struct loading l = {.e = xcalloc(1, sizeof *l.e), .current = -1};
    struct experiment *e = l.e;
    read_file(&l, r->path);
    const struct assignment *include =
        section_get(experiment_find(e, SECTION_STUDY, "", ""), "include");
    if (include)
        read_included(&l, r, *include);
    read_study(e, e->paths[0]);
    add_default_case(e, e->paths[0]);
    check_names(e, e->paths[0]);
    return e;
}

void experiment_free(struct experiment *e)
{
    for (int i = 0; i < e->section_count; i++) {
        struct section *s = &e->sections[i];
        for (int k = 0; k < s->count; k++) {
            free(s->list[k].name);
            free(s->list[k].value);
        }
        free(s->list);
    }
    for (int i = 0; i < e->path_count; i++)
        free(e->paths[i]);
    free(e->paths);
    free(e->sections);
    xfree(e->seeds);
    xfree(e);
}

static void write_line(FILE *to, const char *name, const char *value)
{
    fprintf(to, ini_needs_quotes(value) ? "%s = \"%s\"\n" : "%s = %s\n", name, value);
}

void experiment_write(const struct experiment *e, FILE *to)
{
    for (int i = 0; i < e->section_count; i++) {
        const struct section *s = &e->sections[i];
        fprintf(to, "%s[%s%s%s%s%s]\n", i ? "\n" : "", kinds[s->kind], *s->name ? " " : "", s->name,
                *s->in ? " in " : "", s->in);
        if (s->kind == SECTION_STUDY && !section_get(s, "title"))
            write_line(to, "title", e->title);
        for (int k = 0; k < s->count; k++)
            if (s->kind != SECTION_STUDY || strcmp(s->list[k].name, "include"))
                write_line(to, s->list[k].name, s->list[k].value);
    }
}
