/* Runs of this program that find how fast a setting is somewhere: a cell's options, in the world of
 * the machine or of another cell, without gradients, one after the other. Cost: their messages and
 * sums, 0.1 to 0.5 s each for 80,000 weights. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "advice/private.h"
#include "base/alloc.h"
#include "base/check.h"
#include "base/file.h"
#include "base/ini_file.h"

enum { PATH = REPORT_PATH, NAME = 80 };

/* A worker's batches: FEW to MOST, so that the beginning does not count; of a network so large that
 * these move more than so many floats fewer, at least LEAST. */
enum { LEAST_BATCHES = 40, FEW_BATCHES = 200, MOST_BATCHES = 400 };
static const double most_floats = 4e8;

struct simulation {
    const struct advice *a;
    const struct run *cell, *world; /* world NULL: the machine */
    int64_t samples;
    char cell_options[PATH], world_options[PATH]; /* their files */
};

/* What every simulated run says itself. */
static const char *const own[][2] = {{"world", "sim"},
                                     {"sim-gradients", "no"},
                                     {"seconds", "0"},
                                     {"updates", "0"},
                                     {"eval-every", "1000000000000"},
                                     {"eval-seconds", "0"},
                                     {"per-class", "no"},
                                     {"init", ""},
                                     {"replay", ""},
                                     {"checkpoint-every", ""}};
enum { OWN = sizeof own / sizeof *own };

/* --- options --- */

static bool is_own(const char *name)
{
    for (int i = 0; i < OWN; i++)
        if (!strcmp(own[i][0], name))
            return true;
    return !strcmp(name, "samples") || !strcmp(name, "data");
}

/* Is it part of where a run takes place? Of another case its ranks are, too. */
static bool is_of_world(const struct simulation *s, const char *name)
{
    const struct option_set *const *sets = s->a->request->world_sets;
    static const char *const ranks[] = {"workers", "servers", "threads", NULL};
    for (int i = 0; s->world && ranks[i]; i++)
        if (!strcmp(ranks[i], name))
            return true;
    for (int k = 0; sets[k]; k++)
        for (int i = 0; sets[k]->rows[i].name; i++)
            if (!strcmp(sets[k]->rows[i].name, name))
                return true;
    return false;
}

static bool is_users(const struct simulation *s, const char *name)
{
    const struct advice_request *r = s->a->request;
    for (int i = 0; !s->world && i < r->own_count; i++)
        if (!strcmp(r->own[i].name, name))
            return true;
    return false;
}

/* The name of a line "name = value"; false: it is none. */
static bool name_of(const char *line, char name[NAME])
{
    size_t length = strcspn(line, " =");
    snprintf(name, NAME, "%.*s", (int)(length < NAME ? length : NAME - 1), line);
    return *line && *line != '#' && *line != '\n' && strstr(line, " = ");
}

/* Lines of a cell's options that are of its world, or those that are not. */
static void copy_lines(const struct simulation *s, const char *path, bool of_world, FILE *to)
{
    char *line = NULL, name[NAME];
    size_t room = 0;
    FILE *f = file_open(path);
    while (f && getline(&line, &room, f) >= 0)
        if (name_of(line, name) && is_of_world(s, name) == of_world && !is_own(name) &&
            !is_users(s, name))
            fputs(line, to);
    free(line);
    if (f)
        fclose(f);
}

/* A value of a cell's options; "": it has none. */
static void value_of(const char *path, const char *wanted, char *value, size_t size)
{
    char *line = NULL, name[NAME];
    size_t room = 0;
    FILE *f = file_open(path);
    *value = '\0';
    while (f && getline(&line, &room, f) >= 0)
        if (name_of(line, name) && !strcmp(name, wanted))
            snprintf(value, size, "%.*s", (int)strcspn(strstr(line, " = ") + 3, "\n"),
                     strstr(line, " = ") + 3);
    free(line);
    if (f)
        fclose(f);
}

static void write_value(FILE *f, const char *name, const char *value)
{
    const char *quote = ini_needs_quotes(value) ? "\"" : "";
    fprintf(f, "%s = %s%s%s\n", name, quote, value, quote);
}

/* What was not simulated has no machine but that which is asked about. */
static void write_world(const struct simulation *s, FILE *f)
{
    const struct advice_request *r = s->a->request;
    char world[40] = "", machine[PATH];
    if (s->world) {
        copy_lines(s, s->world_options, true, f);
        value_of(s->world_options, "world", world, sizeof world);
        if (!strcmp(world, "sim"))
            return;
    }
    if (!realpath(r->machine, machine))
        fatal("advise: cannot read %s (%s)", r->machine, strerror(errno));
    write_value(f, "machine", machine);
    for (int i = 0; !s->world && i < r->own_count; i++)
        write_value(f, r->own[i].name, r->own[i].value);
}

static bool write_options(FILE *f, void *self)
{
    const struct simulation *s = self;
    copy_lines(s, s->cell_options, false, f);
    write_world(s, f);
    for (int i = 0; i < OWN; i++)
        write_value(f, own[i][0], own[i][1]);
    fprintf(f, "samples = %lld\n", (long long)s->samples);
    return true;
}

/* As many as the threshold takes, where that is neither few nor costly. */
static int64_t samples_of(const struct simulation *s, const struct evidence *e)
{
    char text[40];
    int64_t wanted = s->a->request->batches;
    value_of(s->cell_options, "batch", text, sizeof text);
    double batch = strtod(text, NULL);
    value_of(s->world ? s->world_options : s->cell_options, "workers", text, sizeof text);
    for (int i = 0; !s->world && i < s->a->request->own_count; i++)
        if (!strcmp(s->a->request->own[i].name, "workers"))
            snprintf(text, sizeof text, "%s", s->a->request->own[i].value);
    double round = fmax(1, batch) * fmax(1, strtod(text, NULL));
    head_value(s->cell->head, "parameters", text, sizeof text);
    double floats = fmax(1, strtod(text, NULL)),
           most = fmin(MOST_BATCHES, fmax(LEAST_BATCHES, most_floats / floats));
    if (wanted)
        return (int64_t)(round * (double)wanted);
    return (int64_t)fmax(fmin(most, FEW_BATCHES) * round, fmin(most * round, e->samples));
}

/* --- a run --- */

/* In the folder where the cell was started, from which its options may name files. */
/* Of a simulated run, which takes seconds: its alarm ends it. */
static const unsigned longest_s = 600;

static _Noreturn void become(const struct simulation *s, const char *log, char **words,
                             pid_t parent)
{
    char started[PATH], place[2 * PATH];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_STOPPED);
    int in = open("/dev/null", O_RDONLY), out = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (in < 0 || out < 0)
        _exit(EXIT_WORLD);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    const struct run *from = s->world ? s->world : s->cell;
    head_value(from->head, "started in", started, sizeof started);
    snprintf(place, sizeof place, "%s/%s", from->folder, started);
    if (*started && chdir(place)) { /* files that its options name would be looked for here */
        fprintf(stderr, "nbsgd: its folder %s is not there: was the study moved?\n", place);
        _exit(EXIT_USER);
    }
    alarm(longest_s);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    setenv("NBSGD_DATADIR", "/nonexistent", 1); /* no figures */
    execv("/proc/self/exe", words);
    _exit(EXIT_WORLD);
}

/* The last thing that a run complained of. */
static void complaint(const char *log, char why[ADVICE_WHY])
{
    char *line = NULL;
    size_t room = 0;
    FILE *f = file_open(log);
    snprintf(why, ADVICE_WHY, "it ended, or did not within %u s, and said nothing", longest_s);
    while (f && getline(&line, &room, f) >= 0)
        if (!strncmp(line, "nbsgd: ", 7))
            snprintf(why, ADVICE_WHY, "%.*s", (int)strcspn(line + 7, "\n"), line + 7);
    free(line);
    if (f)
        fclose(f);
}

static void take_results(const char *folder, struct simulated *to)
{
    struct source *found = source_open(folder);
    const struct run *r = found->runs;
    char text[40];
    to->pace = (struct pace){r->number[RUN_IMAGES_PER_S], r->number[RUN_STALENESS],
                             r->number[RUN_MINIBATCHES], r->number[RUN_LEAST_USE]};
    for (int i = 0; i < SHARES; i++)
        to->share[i] = r->number[RUN_SHARES + i];
    to->parameters = strtod(head_value(r->head, "parameters", text, sizeof text), NULL);
    to->workers = strtod(head_value(r->head, "workers", text, sizeof text), NULL);
    head_value(r->head, "network", to->network, sizeof to->network);
    source_close(found);
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *at)
{
    (void)s, (void)type, (void)at;
    return remove(path);
}

static void simulate(struct simulation *s, const struct evidence *e, struct simulated *to)
{
    char options[300], log[300], results[300];
    const char *folder = s->a->folder;
    to->pace = (struct pace){NAN, NAN, NAN, NAN};
    snprintf(s->cell_options, PATH, "%s/options.ini", s->cell->folder);
    if (s->world)
        snprintf(s->world_options, PATH, "%s/options.ini", s->world->folder);
    if (access(s->cell_options, R_OK) || (s->world && access(s->world_options, R_OK))) {
        snprintf(to->why, ADVICE_WHY, "%.500s cannot be read", s->cell_options);
        return;
    }
    s->samples = samples_of(s, e);
    snprintf(options, sizeof options, "%s/options.ini", folder);
    snprintf(log, sizeof log, "%s/log", folder);
    snprintf(results, sizeof results, "%s/run", folder);
    CHECK(file_write_whole(options, write_options, s), "cannot write %s (%s)", options,
          strerror(errno));
    char *words[] = {"nbsgd", "--config", options, "--results", results, "--overwrite", NULL};
    int status = 0;
    fflush(NULL);
    pid_t parent = getpid(), child = fork();
    if (!child)
        become(s, log, words, parent);
    CHECK(child > 0 && waitpid(child, &status, 0) == child, "no process for a simulated run: %s",
          strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        take_results(results, to);
    else
        complaint(log, to->why);
    nftw(results, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- all of them --- */

/* Options of case c in a world: none without runs of both, nor in its own, which was measured. */
static bool is_wanted(const struct advice *a, int world, int setting, int c)
{
    return a->run[cell_at(a, setting, c)] && world != 1 + c &&
           (!world || a->run[cell_at(a, setting, world - 1)]);
}

void advice_simulate(struct advice *a, int from, int to)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(a->folder, sizeof a->folder, "%.150s/nbsgd-advise-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    CHECK(mkdtemp(a->folder), "cannot make a folder %s (%s)", a->folder, strerror(errno));
    for (int world = from; world < to; world++)
        for (int k = 0; k < a->settings; k++)
            for (int c = 0; c < a->cases; c++) {
                struct simulated *found = simulated_at(a, world, k, c);
                found->pace = (struct pace){NAN, NAN, NAN, NAN};
                if (!is_wanted(a, world, k, c))
                    continue;
                struct simulation s = {.a = a,
                                       .cell = a->run[cell_at(a, k, c)],
                                       .world = world ? a->run[cell_at(a, k, world - 1)] : NULL};
                simulate(&s, &a->evidence[cell_at(a, k, c)], found);
            }
    nftw(a->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
