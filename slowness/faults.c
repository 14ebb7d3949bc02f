/* The file of --faults: one table of what may befall a rank, one of when. */
#include "slowness/faults.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/file.h"
#include "base/random.h"
#include "slowness/reader.h"

enum { LINE = 200 };
#define LONGEST_S 1e6

static const char forms[] = "rank R push K|minibatch K|second T|random T dead|frozen S|slower N "
                            "for S|late L for S|scattered L for S|down S; rank 0 "
                            "row K|weights K|checkpoint K full N|torn|flipped";

static const struct kind {
    const char *name;
    bool has_amount;   /* and then "for" */
    double least;      /* of the amount */
    bool workers_only; /* servers compute nothing */
    bool ends;         /* it lasts for a time */
    bool counts;       /* it befalls several files */
} kinds[FAULT_KINDS] = {
    [FAULT_DEAD] = {.name = "dead"},
    [FAULT_FROZEN] = {.name = "frozen", .ends = true},
    [FAULT_SLOWER] =
        {.name = "slower", .has_amount = true, .least = 1, .workers_only = true, .ends = true},
    [FAULT_LATE] = {.name = "late", .has_amount = true, .ends = true},
    [FAULT_SCATTERED] = {.name = "scattered", .has_amount = true, .ends = true},
    [FAULT_DOWN] = {.name = "down", .ends = true},
    [FAULT_FULL] = {.name = "full", .counts = true},
    [FAULT_TORN] = {.name = "torn"},
    [FAULT_FLIPPED] = {.name = "flipped"},
};

static const struct moment {
    const char *name;
    enum fault_when when;
    bool drawn;
} moments[] = {
    {.name = "push", .when = FAULT_PUSH},
    {.name = "minibatch", .when = FAULT_MINIBATCH},
    {.name = "second", .when = FAULT_SECOND},
    {.name = "row", .when = FAULT_ROW},
    {.name = "weights", .when = FAULT_WEIGHTS},
    {.name = "checkpoint", .when = FAULT_CHECKPOINT},
    {.name = "random", .when = FAULT_SECOND, .drawn = true},
};
enum { MOMENTS = sizeof moments / sizeof *moments };

/* --- reading --- */

bool fault_is_of_file(const struct fault *f)
{
    return f->kind >= FAULT_FULL;
}

/* Reads the word if it comes next, as a whole. */
static bool accept(struct reader *r, const char *word)
{
    size_t length = strlen(word);
    if (reader_at_end(r) || strncmp(r->at, word, length))
        return false;
    if (r->at[length] && !isspace((unsigned char)r->at[length]))
        return false;
    r->at += length;
    return true;
}

static const struct moment *read_moment(struct reader *r)
{
    for (int i = 0; i < MOMENTS; i++)
        if (accept(r, moments[i].name))
            return &moments[i];
    reader_refuse(r, "no moment");
}

static enum fault_kind read_kind(struct reader *r)
{
    for (int i = 0; i < FAULT_KINDS; i++)
        if (accept(r, kinds[i].name))
            return (enum fault_kind)i;
    reader_refuse(r, "no fault");
}

static double read_count(struct reader *r, double most, double least)
{
    double count = reader_number(r, least, most);
    if (count != floor(count))
        reader_refuse(r, "no whole number");
    return count;
}

static double draw_moment(uint64_t seed, int number, double most_s)
{
    struct random draw = random_at(RANDOM_FAULT, seed, (uint64_t)number, 0, 0);
    return most_s * random_uniform(&draw);
}

/* `number`: of this fault among all. */
static struct fault read_fault(struct reader *r, const struct fault_world *world, int number)
{
    struct fault f = {.for_s = INFINITY};
    if (!accept(r, "rank"))
        reader_refuse(r, "no 'rank'");
    f.rank = reader_rank(r, world->ranks);
    bool works = world->ranks == 1 || f.rank >= world->servers;
    const struct moment *moment = read_moment(r);
    f.when = moment->when;
    f.moment =
        f.when == FAULT_SECOND ? reader_number(r, 0, LONGEST_S) : read_count(r, READER_MOST, 1);
    if (moment->drawn)
        f.moment = draw_moment(world->seed, number, f.moment);
    f.kind = read_kind(r);
    const struct kind *kind = &kinds[f.kind];
    if (kind->has_amount) {
        f.amount = reader_number(r, kind->least, LONGEST_S);
        if (!accept(r, "for"))
            reader_refuse(r, "no 'for'");
    }
    if (kind->ends)
        f.for_s = reader_number(r, 0, LONGEST_S);
    if (kind->counts)
        f.amount = read_count(r, READER_MOST, 1);
    if (!reader_at_end(r))
        reader_refuse(r, "something more");
    if ((f.when >= FAULT_ROW) != fault_is_of_file(&f))
        reader_refuse(r, "a moment of a file with what befalls no file, or the other way round");
    if (fault_is_of_file(&f) && f.rank)
        reader_refuse(r, "a rank that writes no files");
    if (!works && !fault_is_of_file(&f) && (f.when != FAULT_SECOND || kind->workers_only))
        reader_refuse(r, "a server, which computes and pushes nothing,");
    return f;
}

static void read_line(struct faults *f, const char *path, int number, char *line,
                      const struct fault_world *world)
{
    char place[LINE + 40];
    snprintf(place, sizeof place, "--faults %.*s:%d", LINE, path, number);
    line[strcspn(line, "#\r\n")] = 0;
    struct reader r = {place, forms, line, line};
    if (reader_at_end(&r))
        return;
    if (f->count == FAULTS)
        reader_refuse(&r, "too many faults");
    f->fault[f->count] = read_fault(&r, world, f->count);
    f->count++;
}

static void read_file(struct faults *f, const char *path, const struct fault_world *world)
{
    static const char mark[] = "\xef\xbb\xbf"; /* some editors begin a file with it */
    char line[LINE + 2];
    FILE *file = file_open_text(path);
    if (!file)
        fatal("--faults %s: %s; name a file of faults, or random:SEED", path, file_why(errno));
    for (int number = 1;; number++) {
        memset(line, 0, sizeof line);
        if (!fgets(line, sizeof line, file))
            break;
        size_t length = strlen(line);
        bool whole = length && (line[length - 1] == '\n' || feof(file));
        if (!whole)
            fatal("--faults %s:%d: a line of more than %d bytes, or with a byte 0; this is no file "
                  "of faults",
                  path, number, LINE);
        char *from = number == 1 && !strncmp(line, mark, 3) ? line + 3 : line;
        read_line(f, path, number, from, world);
    }
    if (ferror(file))
        fatal("--faults %s: %s; name a file that can be read", path, strerror(errno));
    fclose(file);
}

/* What "random:" says. */
static struct faults read_draw(const char *text, const struct fault_world *world)
{
    struct reader r = {"--faults",
                       "FILE; random:SEED; random:SEED,COUNT; random:SEED,COUNT,SECONDS; "
                       "random:SEED,COUNT,SECONDS,FILES",
                       text, text};
    struct fault_draw d = {.count = 3, .within_s = 10, .lethal = 0.1, .lethal_s = INFINITY};
    reader_accept_word(&r, "random", ':');
    double seed = reader_number(&r, 0, READER_MOST);
    if (seed != floor(seed))
        reader_refuse(&r, "no whole number");
    d.seed = (uint64_t)seed;
    if (reader_accept(&r, ','))
        d.count = (int)read_count(&r, FAULTS, 0);
    if (reader_accept(&r, ','))
        d.within_s = reader_number(&r, 0, LONGEST_S);
    if (reader_accept(&r, ','))
        d.files = (int)read_count(&r, FAULTS - d.count, 0);
    if (!reader_at_end(&r))
        reader_refuse(&r, "something more");
    d.short_s = d.within_s / 4;
    return faults_draw(&d, world);
}

static void list_files(struct faults *all)
{
    for (int i = 0; i < all->count; i++) {
        const struct fault *f = &all->fault[i];
        if (fault_is_of_file(f))
            all->disk[all->disk_count++] =
                (struct disk_fault){.files = (enum disk_files)(f->when - FAULT_ROW),
                                    .number = (int64_t)f->moment,
                                    .count = f->kind == FAULT_FULL ? (int64_t)f->amount : 1,
                                    .harm = (enum disk_harm)(f->kind - FAULT_FULL)};
    }
}

struct faults *faults_load(const char *text, const struct fault_world *world)
{
    if (!*text)
        return NULL;
    struct faults *f = xcalloc(1, sizeof *f);
    if (!strncmp(text, "random:", 7))
        *f = read_draw(text, world);
    else
        read_file(f, text, world);
    list_files(f);
    return f;
}

void faults_free(struct faults *f)
{
    xfree(f);
}

/* --- drawing --- */

static struct fault draw_lethal(struct random *r, const struct fault_draw *d)
{
    bool dies = isinf(d->lethal_s) || random_below(r, 2);
    struct fault f = {.kind = dies ? FAULT_DEAD : FAULT_FROZEN, .for_s = d->lethal_s};
    if (!dies && random_below(r, 2))
        f.kind = FAULT_DOWN;
    return f;
}

static struct fault draw_harmless(struct random *r, const struct fault_draw *d, bool works)
{
    struct fault f = {0};
    do
        f.kind = (enum fault_kind)random_below(r, FAULT_FULL);
    while (f.kind == FAULT_DEAD || (kinds[f.kind].workers_only && !works));
    f.for_s = d->short_s * random_uniform(r);
    if (f.kind == FAULT_SLOWER)
        f.amount = 1 + 20 * random_uniform(r);
    else if (kinds[f.kind].has_amount)
        f.amount = d->short_s * random_uniform(r);
    return f;
}

static struct fault draw_fault(const struct fault_draw *d, const struct fault_world *world,
                               int number)
{
    enum { MOST_EVENTS = 20 };
    struct random r = random_at(RANDOM_FAULT, d->seed, (uint64_t)number, 1, 0);
    int rank = (int)random_below(&r, (uint64_t)world->ranks);
    bool works = world->ranks == 1 || rank >= world->servers;
    bool kills = random_uniform(&r) < d->lethal;
    struct fault f = kills ? draw_lethal(&r, d) : draw_harmless(&r, d, works);
    f.rank = rank;
    f.when = works ? (enum fault_when)random_below(&r, 3) : FAULT_SECOND;
    f.moment = f.when == FAULT_SECOND ? d->within_s * random_uniform(&r)
                                      : (double)(1 + random_below(&r, MOST_EVENTS));
    if (f.kind == FAULT_DEAD)
        f.for_s = INFINITY;
    return f;
}

static struct fault draw_file_fault(const struct fault_draw *d, int number)
{
    enum { MOST_FILES = 30, MOST_FULL = 10 };
    struct random r = random_at(RANDOM_FAULT, d->seed, (uint64_t)number, 3, 0);
    struct fault f = {.when = FAULT_ROW + (enum fault_when)random_below(&r, DISK_FILES),
                      .moment = (double)(1 + random_below(&r, MOST_FILES)),
                      .kind = FAULT_FULL + (enum fault_kind)random_below(&r, 3),
                      .for_s = INFINITY};
    if (f.kind == FAULT_FULL)
        f.amount = (double)(1 + random_below(&r, MOST_FULL));
    return f;
}

struct faults faults_draw(const struct fault_draw *d, const struct fault_world *world)
{
    struct faults f = {.count = 0};
    for (int i = 0; i < d->count && f.count < FAULTS; i++)
        f.fault[f.count++] = draw_fault(d, world, i);
    for (int i = 0; i < d->files && f.count < FAULTS; i++)
        f.fault[f.count++] = draw_file_fault(d, i);
    return f;
}

/* --- writing --- */

void fault_write(const struct fault *f, char *text, size_t size)
{
    const struct kind *kind = &kinds[f->kind];
    int used = snprintf(text, size, "rank %d %s %.17g %s", f->rank, moments[f->when].name,
                        f->moment, kind->name);
    if (kind->has_amount)
        snprintf(text + used, size - (size_t)used, " %.17g for %.17g", f->amount, f->for_s);
    else if (kind->ends || kind->counts)
        snprintf(text + used, size - (size_t)used, " %.17g", kind->ends ? f->for_s : f->amount);
}

void faults_write(const struct faults *f, FILE *to)
{
    for (int i = 0; i < f->count; i++) {
        char text[LINE];
        fault_write(&f->fault[i], text, sizeof text);
        fprintf(to, "%s\n", text);
    }
}
