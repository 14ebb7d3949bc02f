/* What decides whether a checkpoint is of this configuration are the options that decide what is
 * computed: those that a replay must have, too, but for when to stop. */
#include "command/checkpoints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/json_writer.h"
#include "command/command.h"
#include "messaging/messaging.h"
#include "serialization/serialization.h"

/* --- options as a list --- */

struct setting {
    char *name, *value;
};

struct settings {
    struct setting *list;
    int count;
    char *text;
};

/* All that this run uses; `without`: rows with these flags are left out. */
static struct settings settings_of(const struct options *o, unsigned without)
{
    struct settings s = {.count = 0};
    size_t size;
    FILE *f = open_memstream(&s.text, &size);
    CHECK(f, "no memory for the options");
    options_write(o, f, "", "\t", without);
    fclose(f);
    for (const char *c = s.text; *c; c++)
        s.count += *c == '\n';
    s.list = xcalloc((size_t)s.count + 1, sizeof *s.list);
    char *save = NULL, *line = strtok_r(s.text, "\n", &save);
    for (int i = 0; line; i++, line = strtok_r(NULL, "\n", &save)) {
        s.list[i].name = line;
        s.list[i].value = strchr(line, '\t');
        *s.list[i].value++ = 0;
    }
    return s;
}

static void settings_close(struct settings *s)
{
    xfree(s->list);
    free(s->text);
}

static bool is_in(const char *const *list, const char *name)
{
    for (; *list; list++)
        if (!strcmp(*list, name))
            return true;
    return false;
}

/* --- what is refused --- */

/* What has no middle to go on from. */
static void refuse_middle(const struct options *o, const char *option)
{
    if (*o->record || *o->replay)
        fatal("--%s with --%s: an order that is replayed has no middle to go on from; leave one of "
              "them out",
              option, *o->record ? "record" : "replay");
    if (*o->depart && strcmp(o->world, "sim"))
        fatal("--%s with --depart: a checkpoint has the state of every rank; leave one of them out",
              option);
    if (strcmp(o->server_device, "cpu"))
        fatal("--%s: what a device holds is in no checkpoint; take --server-device cpu", option);
}

/* --resume auto, where there is nothing to go on from, begins whatever it is: so does another
 * attempt of a run that writes no checkpoints. */
void checkpoints_check(const struct options *o)
{
    bool writes = *o->checkpoint_every, resumes = *o->resume;
    const char *option = writes ? "checkpoint-every" : "resume";
    checkpoint_every_of(o->checkpoint_every);
    if (!writes && options_given(o, "checkpoint-keep"))
        fatal("--checkpoint-keep has no effect without --checkpoint-every; leave it out");
    if (!writes && !resumes && *o->checkpoint_dir)
        fatal("--checkpoint-dir has no effect without --checkpoint-every or --resume; leave it "
              "out");
    if (writes || (resumes && strcmp(o->resume, "auto")))
        refuse_middle(o, option);
}

/* Does this option decide what is computed? A simulated run is gone through again from its
 * beginning (node/course.h): there all options do, but for those that say when it ends, on what
 * it computes, and where its files lie. */
static bool decides(const struct options *o, const struct settings *replayed, const char *name)
{
    /* what a replay needs, and a run that goes on does not; what only that needs */
    static const char *const
        may[] = {"epochs", "samples", "updates", "init", NULL},
        *const must[] = {"servers", "ema", NULL},
        *const simulated[] = {
            "workers",          "seconds",         "threads",    "backend",     "kernel-cache",
            "prefetch",         "decode-threads",  "deadline",   "results",     "save",
            "overwrite",        "report-every",    "data",       "resume",      "checkpoint-dir",
            "checkpoint-every", "checkpoint-keep", "thresholds", "stop-within", NULL};
    if (is_in(may, name))
        return false;
    if (!strcmp(o->world, "sim"))
        return !is_in(simulated, name);
    for (int i = 0; i < replayed->count; i++)
        if (!strcmp(replayed->list[i].name, name))
            return true;
    return is_in(must, name);
}

/* Lists what differs between the checkpoint and this run, "--lr 0.1 (there 0.2)". */
static void list_differences(const struct checkpoint *c, const struct options *o, FILE *to)
{
    struct settings replayed = settings_of(o, OPTION_FREE), all = settings_of(o, 0);
    const char *between = "";
    for (int i = 0; i < all.count; i++) {
        const char *name = all.list[i].name, *value = all.list[i].value;
        char field[200];
        snprintf(field, sizeof field, "options/%s", name);
        const char *there = checkpoint_field(c, field);
        if (!decides(o, &replayed, name) || (there && !strcmp(there, value)))
            continue;
        fprintf(to, "%s--%s %s (there %s)", between, name, value, there ? there : "not used");
        between = ", ";
    }
    settings_close(&replayed);
    settings_close(&all);
}

static void check_same(const struct checkpoint *c, const struct options *o)
{
    char *text = NULL;
    size_t size;
    const char *world = checkpoint_field(c, "world"), *folder = checkpoint_folder(c);
    if (!world || strcmp(world, o->world))
        fatal("--resume %s: it is of --world %s; go on with it there", folder,
              world ? world : "(not said)");
    FILE *f = open_memstream(&text, &size);
    CHECK(f, "no memory for a list of options");
    list_differences(c, o, f);
    fclose(f);
    if (*text)
        fatal("--resume %s: it is of another configuration: %s; give the same options, or begin "
              "without --resume",
              folder, text);
    free(text);
}

/* Some of a rank's state is kept as its structs lie in memory. */
static void compare_commits(const struct checkpoint *c)
{
    const char *there = checkpoint_field(c, "commit");
    if (!there || strcmp(there, version_commit()))
        fprintf(stderr,
                "nbsgd: --resume %s: commit %s has written it, this program is of %s: it goes on "
                "as far as sizes agree, not bit for bit\n",
                checkpoint_folder(c), there ? there : "(not said)", version_commit());
}

static int64_t number_of(const struct checkpoint *c, const char *name)
{
    const char *text = checkpoint_field(c, name);
    return text ? strtoll(text, NULL, 10) : 0;
}

/* "worker.optimizer, worker.steps": what workers keep for themselves. To be freed; "": nothing. */
static char *own_state(const struct options *o, const struct scheme *scheme)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    const char *between = "";
    CHECK(f, "no memory for a list of names");
    for (int i = 0; scheme->state && scheme->state[i]; i++)
        if (!strncmp(scheme->state[i], "worker.", 7)) {
            fprintf(f, "%s%s", between, scheme->state[i] + 7);
            between = ", ";
        }
    if (codec_find(o->compress)->remembers && scheme->flags & PUSHES)
        fprintf(f, "%swhat --compress left out", between);
    fclose(f);
    return text;
}

/* Another number of workers: says how it goes on. */
static void compare_workers(struct checkpoints *c, const struct options *o,
                            const struct scheme *scheme, int ranks)
{
    bool simulated = !strcmp(o->world, "sim");
    int64_t before = number_of(c->resume, "workers"),
            now = scheme->flags & ALONE ? o->workers : ranks - o->servers;
    c->anew = simulated && (before != now || number_of(c->resume, "course_from"));
    if (c->anew && !checkpoint_state(c->resume, 0, "rank 0/node/version").memory)
        fatal("--resume %s: it is of %lld workers, these are %lld; with --depart a simulated run "
              "goes on with as many alone",
              checkpoint_folder(c->resume), (long long)before, (long long)now);
    if (before == now)
        return;
    char *own = own_state(o, scheme), *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    CHECK(f, "no memory for a message");
    fprintf(f,
            "nbsgd: goes on with %lld workers in place of %lld: the data are cut anew, and each "
            "begins where all would be if they had given alike, so that from its next pass on it "
            "meets each of its samples once a pass; the rate follows the samples as before; an "
            "update is of %lld workers' batches",
            (long long)now, (long long)before, (long long)now);
    if (*own)
        fprintf(f, "; %s of workers from number %lld on: %s",
                now < before ? "dropped" : "begun anew", (long long)(now < before ? now : before),
                own);
    fclose(f);
    fprintf(stderr, "%s\n", text);
    free(text);
    free(own);
}

/* --- what to go on from --- */

/* "" where --resume auto has nowhere to look. */
static const char *where_to_look(const struct options *o)
{
    if (strcmp(o->resume, "auto"))
        return o->resume;
    return *o->checkpoint_dir ? o->checkpoint_dir : o->results;
}

/* Where its rows are: in the folder of results in which it lies, wherever that was moved or copied
 * to; else where they were when it was written. */
static const char *rows_of(struct checkpoints *c)
{
    static const char within[] = "/checkpoints";
    char path[PATH_MAX], eval[PATH_MAX + 10];
    char *end = realpath(checkpoint_folder(c->resume), path) ? strrchr(path, '/') : NULL;
    if (end)
        *end = 0;
    size_t length = end ? strlen(path) : 0, least = sizeof within - 1;
    if (length > least && !strcmp(path + length - least, within)) {
        snprintf(c->rows, sizeof c->rows, "%.*s", (int)(length - least), path);
        snprintf(eval, sizeof eval, "%s/eval.csv", c->rows);
        if (!access(eval, F_OK))
            return c->rows;
    }
    return checkpoint_field(c->resume, "results");
}

void checkpoints_find(struct checkpoints *c, const struct options *o, const struct scheme *scheme,
                      int ranks)
{
    const char *folder = where_to_look(o);
    if (!*o->resume)
        return;
    if (!*folder)
        fatal("--resume auto: where? Name --checkpoint-dir or --results");
    c->resume = checkpoint_find(folder, stderr);
    if (!c->resume && strcmp(o->resume, "auto"))
        fatal("--resume %s: there is no whole checkpoint", folder);
    if (!c->resume) {
        fprintf(stderr, "nbsgd: --resume auto: no whole checkpoint in %s: begins\n", folder);
        return;
    }
    refuse_middle(o, "resume");
    check_same(c->resume, o);
    compare_commits(c->resume);
    compare_workers(c, o, scheme, ranks);
    c->results.folder = rows_of(c);
    for (int i = 0; i < ROWS_FILES; i++) {
        char name[40];
        snprintf(name, sizeof name, "rows/%d", i);
        c->results.bytes[i] = number_of(c->resume, name);
    }
    if (!c->results.folder)
        fatal("--resume %s: it does not say where its rows are", checkpoint_folder(c->resume));
    printf("goes on from %s: %lld samples, %lld updates\n", checkpoint_folder(c->resume),
           (long long)number_of(c->resume, "samples"), (long long)number_of(c->resume, "version"));
    fflush(stdout);
}

void checkpoints_restore(const struct checkpoints *c, struct results *results)
{
    if (!c->resume)
        return;
    struct kept all =
        checkpoint_state(c->resume, 0, c->anew ? "rank 0/evaluations/all" : "evaluations/all");
    results_restore(results, all.memory, (int)(all.count / (int64_t)sizeof(struct evaluation)));
}

/* --- the folder --- */

/* Is a newer one in that folder, which holds something that this run would replace? */
static void refuse_older(const struct checkpoints *c, const char *folder, const char *option)
{
    FILE *nowhere = fopen("/dev/null", "w");
    CHECK(nowhere, "/dev/null: %s", strerror(errno));
    struct checkpoint *newest = checkpoint_find(folder, nowhere);
    fclose(nowhere);
    if (newest && number_of(newest, "samples") > number_of(c->resume, "samples"))
        fatal("--resume %s: %s is newer: go on with that, or name another %s",
              checkpoint_folder(c->resume), checkpoint_folder(newest), option);
    checkpoint_close(newest);
}

/* Checkpoints of another run are neither mixed with this one's nor removed. */
static void check_folder(const struct checkpoints *c, const struct options *o)
{
    const char *folder = c->plan.folder;
    if (!folder || !checkpoint_folder_is_used(folder))
        return;
    if (!*o->resume)
        fatal("--checkpoint-every: %s holds checkpoints of another run: go on with it by --resume "
              "%s, or name another --checkpoint-dir",
              folder, folder);
    if (c->resume)
        refuse_older(c, folder, "--checkpoint-dir");
}

/* Rows are cut to what they were at the checkpoint. A newer one beside it speaks of those that
 * would be lost; elsewhere they are copied. */
static void check_rows(const struct checkpoints *c, const char *results)
{
    struct stat now, before;
    char path[PATH_MAX];
    char *end = c->resume && realpath(checkpoint_folder(c->resume), path) ? strrchr(path, '/') : 0;
    if (!end || stat(results, &now) || stat(c->results.folder, &before) ||
        now.st_dev != before.st_dev || now.st_ino != before.st_ino)
        return;
    *end = 0;
    refuse_older(c, path, "--results, which gets a copy of its rows");
}

/* Fields of the manifest that hold for the whole run. To be freed. */
static char *facts_of(const struct options *o, const char *results, const struct run_context *c,
                      int64_t from)
{
    struct settings all = settings_of(o, 0);
    struct json_field *options = xcalloc((size_t)all.count + 1, sizeof *options);
    char *text = NULL, path[PATH_MAX];
    size_t size;
    for (int i = 0; i < all.count; i++)
        options[i] = (struct json_field)JSON_TEXT(all.list[i].name, all.list[i].value);
    options[all.count].type = JSON_END;
    FILE *f = open_memstream(&text, &size);
    CHECK(f, "no memory for a manifest");
    json_write(f,
               JSON_FIELDS(JSON_TEXT("commit", version_commit()), JSON_TEXT("world", o->world),
                           JSON_TEXT("scheme", o->scheme),
                           JSON_TEXT("results", realpath(results, path) ? path : results),
                           JSON_INT("workers", c->workers), JSON_INT("servers", c->servers),
                           JSON_INT("course_from", from), JSON_INT("floats", c->problem->count),
                           JSON_INT("training_samples", c->problem->training_samples),
                           JSON_OBJECT("options", options)),
               NULL, true);
    fclose(f);
    settings_close(&all);
    xfree(options);
    char *begin = strchr(text, '{'), *end = strrchr(text, '}');
    *end = 0;
    memmove(text, begin + 1, strlen(begin + 1) + 1);
    for (end = strchr(text, 0); end > text && strchr(" \n", end[-1]);)
        *--end = 0;
    return text;
}

/* --- all ranks --- */

struct shared {
    uint64_t run;
    char folder[PATH_MAX], resume[PATH_MAX]; /* "": none */
};

static void hand_out(const struct checkpoints *c, struct net *net)
{
    struct shared *s = net_alloc(net, sizeof *s);
    struct request **sent = xcalloc((size_t)net->ranks, sizeof *sent);
    s->run = c->plan.run;
    snprintf(s->folder, sizeof s->folder, "%s", c->plan.folder ? c->plan.folder : "");
    snprintf(s->resume, sizeof s->resume, "%s", c->resume ? checkpoint_folder(c->resume) : "");
    for (int rank = 1; rank < net->ranks; rank++)
        sent[rank] = net_send(net, rank, &(struct header){.tag = TAG_CHECKPOINT}, s, sizeof *s);
    net_barrier(net);
    for (int rank = 1; rank < net->ranks; rank++) {
        net_await(net, sent[rank], rank, "a rank to take the plan of checkpoints");
        net_release(net, sent[rank]);
    }
    xfree(sent);
    net_free(net, s);
}

static void take(struct checkpoints *c, struct net *net)
{
    struct shared s;
    char why[600];
    struct request *come = net_recv(net, 0, TAG_CHECKPOINT, &s, sizeof s);
    net_barrier(net);
    net_await(net, come, 0, "the plan of checkpoints");
    net_release(net, come);
    c->plan.run = s.run;
    memcpy(c->folder, s.folder, sizeof c->folder);
    c->plan.folder = *c->folder ? c->folder : NULL;
    if (!*s.resume)
        return;
    c->resume = checkpoint_open(s.resume, net->rank, why, sizeof why);
    if (!c->resume)
        fatal("--resume %s: %s; all ranks must see that folder", s.resume, why);
}

static void plan(struct checkpoints *c, const struct options *o, const char *results,
                 const struct run_context *context)
{
    if (*o->checkpoint_every) {
        const char *dir = *o->checkpoint_dir ? o->checkpoint_dir : results;
        int length = snprintf(c->folder, sizeof c->folder, "%s%s", dir,
                              *o->checkpoint_dir ? "" : "/checkpoints");
        CHECK(length < (int)sizeof c->folder, "a folder's name is too long: %s", dir);
        c->plan.folder = c->folder;
    }
    check_rows(c, results);
    check_folder(c, o);
    if (c->plan.folder && !checkpoint_folder_own(c->plan.folder))
        fatal("--checkpoint-every: another run writes checkpoints into %s now; name another "
              "--checkpoint-dir",
              c->plan.folder);
    CHECK(getrandom(&c->plan.run, sizeof c->plan.run, 0) == sizeof c->plan.run,
          "no random number: %s", strerror(errno));
    c->plan.facts = c->facts =
        facts_of(o, results, context, c->anew ? number_of(c->resume, "samples") : 0);
    if (c->resume && number_of(c->resume, "training_samples") != context->problem->training_samples)
        fatal("--resume %s: it is of %lld training samples, these data have %lld; give the same "
              "data",
              checkpoint_folder(c->resume), (long long)number_of(c->resume, "training_samples"),
              (long long)context->problem->training_samples);
}

struct net_activity checkpoints_act(struct net *net)
{
    return net_act(net, (struct net_activity){.pace = NET_BUSY, .what = "reading a checkpoint"});
}

void checkpoints_share(struct checkpoints *c, const struct options *o, struct net *net,
                       const char *results, const struct run_context *context)
{
    if (!*o->checkpoint_every && !*o->resume)
        return;
    struct net_activity before = checkpoints_act(net);
    if (net->rank == 0)
        plan(c, o, results, context);
    if (net->rank == 0 && !net->virtual_time)
        hand_out(c, net);
    else if (net->rank > 0 && !net->virtual_time)
        take(c, net);
    net_act(net, before);
    c->plan.every = checkpoint_every_of(o->checkpoint_every);
    c->plan.keep = o->checkpoint_keep;
    c->plan.resume = net->virtual_time && !c->anew ? NULL : c->resume;
}

void checkpoints_close(struct checkpoints *c)
{
    checkpoint_close(c->resume);
    free(c->facts);
}
