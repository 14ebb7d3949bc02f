/* The cells of a study, and what each runs with.
 *
 * Options of [base] are judged as a file's: it may hold what belongs to another scheme. Those of
 * cases and settings are judged as the command line's, which may not. The judging itself is the
 * run's own, in a process that ends with it (fork): a mistake there is a line and exit code 2. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/ini_file.h"
#include "study/private.h"

/* A study says these itself, or they have no place in it. */
static const struct {
    const char *name, *why;
} taken[] = {
    {"seed", "seeds are in [study] seeds"},
    {"thresholds", "they are in [study] targets"},
    {"target", "it would end a run at a crossing that nothing confirms; say [study] targets"},
    {"results", "each cell has a folder of its own"},
    {"overwrite", "each cell has a folder of its own"},
    {"resume", "a cell that was begun goes on by itself, where its options say checkpoint-every"},
    {"checkpoint-dir", "each cell has a folder of its own"},
    {"save", "cells would write over each other's file"},
    {"record", "cells would write over each other's file"},
    {"tensorboard", "cells would write into one folder; give it to one run"},
    {"config", "write its options here, or say [study] include"},
    {"help", "it prints, and runs nothing"},
    {"version", "it prints, and runs nothing"},
    {"check-options", "nbsgd study --check does it"},
};

struct words { /* of a command line */
    char *list[MOST_WORDS];
    int count;
    char where[INI_WHERE];
};

void check_taken(const struct assignment *a)
{
    for (size_t k = 0; k < sizeof taken / sizeof *taken; k++)
        if (!strcmp(a->name, taken[k].name))
            refuse(a, taken[k].why);
}

static void add_word(struct words *w, const char *name, const char *value)
{
    CHECK(w->count < MOST_WORDS - 1, "more than %d options", MOST_WORDS);
    CHECK(asprintf(&w->list[w->count++], "--%s=%s", name, value) >= 0, "no memory for --%s", name);
}

static void add_section(struct words *w, const struct section *s)
{
    for (int i = 0; s && i < s->count; i++)
        if (s->kind != SECTION_CASE || strcmp(s->list[i].name, "settings") != 0)
            add_word(w, s->list[i].name, s->list[i].value);
}

/* One word in case and setting would be decided by an order that nobody sees. */
static void check_apart(const struct section *scene, const struct section *setting)
{
    char what[700];
    for (int i = 0; i < setting->count; i++) {
        const struct assignment *other = section_get(scene, setting->list[i].name);
        if (!other)
            continue;
        snprintf(what, sizeof what,
                 "[case %s] has it, too (%.400s:%d): leave one, or write [setting %s in %s]",
                 scene->name, other->path, other->line, setting->name, scene->name);
        refuse(&setting->list[i], what);
    }
}

/* [base] as the text of the files that it stands in, each line where it is there. */
static void base_files(const struct experiment *e, struct option_files *files, struct words *w)
{
    const struct section *base = experiment_find(e, SECTION_BASE, "", "");
    size_t size;
    FILE *f = open_memstream(&files->text, &size);
    CHECK(f, "no memory for the options");
    files->handed = true;
    for (int p = 0; base && p < e->path_count; p++) {
        int line = 1;
        fprintf(f, "%s%c", e->paths[p], 0);
        for (int i = 0; i < base->count; i++) {
            const struct assignment *a = &base->list[i];
            if (a->path != e->paths[p])
                continue;
            for (; line < a->line; line++)
                putc('\n', f);
            fprintf(f, ini_needs_quotes(a->value) ? "%s = \"%s\"" : "%s = %s", a->name, a->value);
        }
        putc(0, f);
        add_word(w, "config", e->paths[p]);
    }
    fclose(f);
    files->bytes = size;
}

/* --- judging --- */

static char *read_all(int from)
{
    char *text = NULL;
    size_t size = 0, room = 0;
    ssize_t got;
    do {
        if (room - size < 4096) {
            room = 2 * room + 8192;
            char *more = realloc(text, room);
            CHECK(more, "no memory for the options of a cell");
            text = more;
        }
        got = read(from, text + size, room - size - 1);
        size += got > 0 ? (size_t)got : 0;
    } while (got > 0 || (got < 0 && errno == EINTR));
    text[size] = 0;
    close(from);
    return text;
}

static _Noreturn void judge(struct words *w, struct option_files *files, const char *known, int out,
                            int err, const struct study_program *program)
{
    FILE *f = fdopen(out, "w");
    w->list[w->count] = NULL;
    dup2(err, STDERR_FILENO);
    dup2(err, STDOUT_FILENO);
    program->configure(w->count, w->list, files, known, f);
    fflush(f);
    _exit(0);
}

/* Where the complaint names that option; NULL: nowhere. */
static const char *named_in(const char *complaint, const char *name)
{
    static const char letters[] = "-abcdefghijklmnopqrstuvwxyz0123456789";
    char dashed[120], quoted[120];
    size_t length = (size_t)snprintf(dashed, sizeof dashed, "--%.100s", name);
    const char *at = complaint;
    while ((at = strstr(at, dashed)) && at[length] && strchr(letters, at[length]))
        at += length;
    snprintf(quoted, sizeof quoted, "'%.100s'", name);
    return at ? at : strstr(complaint, quoted);
}

/* The line of the option that the complaint names first, else of the setting. */
static void place_of(const char *complaint, const struct section *const sections[], int count,
                     char where[INI_WHERE])
{
    const char *first = NULL;
    ini_where(sections[0]->path, sections[0]->line, where);
    for (int k = 0; k < count; k++)
        for (int i = 0; sections[k] && i < sections[k]->count; i++) {
            const struct assignment *a = &sections[k]->list[i];
            const char *at = named_in(complaint, a->name);
            if (!at || (first && at >= first))
                continue;
            first = at;
            ini_where(a->path, a->line, where);
        }
}

static _Noreturn void refuse_words(char *complaint, const struct section *scene,
                                   const struct section *setting, const struct section *exception)
{
    static const char own[] = "nbsgd: ";
    const struct section *sections[] = {setting, exception, scene};
    char where[INI_WHERE];
    complaint[strcspn(complaint, "\n")] = 0;
    const char *text = complaint + (strncmp(complaint, own, sizeof own - 1) ? 0 : sizeof own - 1);
    if (!*text)
        text = "its options cannot be judged (the process that did it has ended)";
    place_of(text, sections, 3, where);
    fatal("%ssetting %s, case %s: %s", where, setting->name, scene->name, text);
}

/* The program's answer (study.h), to be freed. */
static char *ask(struct words *w, struct option_files *files, const char *known,
                 const struct study_program *program, char **complaint)
{
    int out[2], err[2], status = 0;
    CHECK(!pipe2(out, O_CLOEXEC) && !pipe2(err, O_CLOEXEC), "no pipe: %s", strerror(errno));
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0, "no process: %s", strerror(errno));
    if (!child)
        judge(w, files, known, out[1], err[1], program);
    close(out[1]);
    close(err[1]);
    char *answer = read_all(out[0]);
    *complaint = read_all(err[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (!status)
        return answer;
    free(answer);
    return NULL;
}

/* Takes a line away that begins so. */
static void cut_line(char *text, const char *begin)
{
    for (char *at = text; *at; at = strchrnul(at, '\n') + 1) {
        char *end = strchrnul(at, '\n');
        if (!strncmp(at, begin, strlen(begin))) {
            memmove(at, *end ? end + 1 : end, strlen(*end ? end + 1 : end) + 1);
            return;
        }
        if (!*end)
            return;
    }
}

/* Is there a line that begins so, and goes on? */
static bool says_something(const char *text, const char *begin)
{
    const char *at = strstr(text, begin);
    return at && at[strlen(begin)] && at[strlen(begin)] != '\n';
}

/* What the answer says of data that it has read, in its second line, is known from now on. */
static void learn_data(struct plan *p, char *answer)
{
    char *line = strchr(answer, '\n');
    if (!line || strncmp(++line, "data ", 5) != 0)
        return;
    size_t length = strcspn(line, "\n") + 1, known = p->known_data ? strlen(p->known_data) : 0;
    p->known_data = realloc(p->known_data, known + length + 1);
    CHECK(p->known_data, "no memory for what is known of the data");
    snprintf(p->known_data + known, length + 1, "%s", line);
    memmove(line, line + length, strlen(line + length) + 1);
}

static struct configured *read_answer(struct plan *p, char *answer)
{
    struct configured *c = xcalloc(1, sizeof *c);
    learn_data(p, answer);
    char *own = strstr(answer, "\n--\n"), *lines = strchr(answer, '\n');
    CHECK(own && lines && sscanf(answer, "processes %d", &c->processes) == 1,
          "the answer about a cell's options is cut off");
    own[1] = 0;
    c->computed = strdup(lines + 1);
    c->own = strdup(own + 4);
    CHECK(c->computed && c->own, "no memory for the options of a cell");
    for (size_t k = 0; k < sizeof taken / sizeof *taken; k++) {
        char begin[40];
        snprintf(begin, sizeof begin, "%s = ", taken[k].name);
        cut_line(c->computed, begin);
        cut_line(c->own, begin);
    }
    cut_line(c->own, "workers = "); /* it counts */
    c->resumes = says_something(c->computed, "checkpoint-every = ") ||
                 says_something(c->own, "checkpoint-every = ");
    return c;
}

const struct configured *plan_configure(struct plan *p, const struct experiment *e,
                                        const struct section *scene, const struct section *setting,
                                        const struct extra *extra,
                                        const struct study_program *program)
{
    const struct section *exception =
        experiment_find(e, SECTION_EXCEPTION, setting->name, scene->name);
    if (*program->stop)
        die(EXIT_STOPPED, "stopped before any cell was run");
    struct words *w = xcalloc(1, sizeof *w);
    struct option_files files = {0};
    char *complaint;
    const struct section *sections[] = {experiment_find(e, SECTION_BASE, "", ""), scene, setting,
                                        exception};
    for (int i = 0; i < 4; i++)
        for (int k = 0; sections[i] && k < sections[i]->count; k++)
            check_taken(&sections[i]->list[k]);
    check_apart(scene, setting);
    w->list[w->count++] = strdup("nbsgd");
    base_files(e, &files, w);
    add_section(w, scene);
    add_section(w, setting);
    add_section(w, exception);
    for (; extra && extra->name; extra++)
        add_word(w, extra->name, extra->value);
    char *answer = ask(w, &files, p->known_data ? p->known_data : "", program, &complaint);
    if (!answer)
        refuse_words(complaint, scene, setting, exception);
    struct configured *c = read_answer(p, answer);
    c->scene = scene;
    c->setting = setting;
    p->configured = grown(p->configured, p->configured_count, sizeof *p->configured);
    p->configured[p->configured_count++] = c;
    for (int i = 0; i < w->count; i++)
        free(w->list[i]);
    xfree(w);
    free(files.text);
    free(complaint);
    free(answer);
    return c;
}

/* --- the list of cells --- */

struct cell *plan_add(struct plan *p)
{
    p->cells = grown(p->cells, p->count, sizeof *p->cells);
    struct cell *c = &p->cells[p->count++];
    *c = (struct cell){.exit = -1, .trial = -1, .fold = -1, .mine = true};
    return c;
}

static void add_file(struct digest *d, const char *path)
{
    char piece[65536];
    struct stat s;
    FILE *f = !stat(path, &s) && S_ISREG(s.st_mode) ? fopen(path, "rb") : NULL;
    for (size_t got = 1; f && got;) {
        got = fread(piece, 1, sizeof piece, f);
        digest_add(d, piece, got);
    }
    if (f)
        fclose(f);
}

/* What an option names may be a file, of a machine, faults or weights: what it says counts. */
static void add_files(struct digest *d, const char *lines)
{
    for (const char *at = lines; *at; at = strchrnul(at, '\n') + 1) {
        const char *end = strchrnul(at, '\n'), *value = memmem(at, (size_t)(end - at), " = ", 3);
        char path[STUDY_PATH];
        snprintf(path, sizeof path, "%.*s", value ? (int)(end - value) - 3 : 0,
                 value ? value + 3 : "");
        if (*path)
            add_file(d, path);
        if (!*end)
            return;
    }
}

void plan_digest(struct plan *p, const struct study_program *program)
{
    for (int i = 0; i < p->count; i++) {
        struct cell *c = &p->cells[i];
        struct digest *d = digest_open();
        digest_add(d, program->identity, strlen(program->identity) + 1);
        digest_add(d, c->of->computed, strlen(c->of->computed));
        digest_add(d, &c->of->processes, sizeof c->of->processes);
        digest_add(d, &c->seed, sizeof c->seed);
        add_files(d, c->of->computed);
        digest_text(digest_value(d), c->digest);
        digest_close(d);
    }
}

void plan_close(struct plan *p)
{
    for (int i = 0; i < p->configured_count; i++) {
        free(p->configured[i]->computed);
        free(p->configured[i]->own);
        xfree(p->configured[i]);
    }
    free(p->configured);
    free(p->known_data);
    free(p->cells);
    xfree(p->order);
}
