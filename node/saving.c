/* Weights on the disk, from rank 0.
 *
 * --save's file has those of the last evaluation; best.safetensors in the folder of results those
 * of the evaluation with the greatest top-1. The second costs a second file whenever there is a new
 * best. Nothing is written at update 0: those weights are a function of the seed. Only where --init
 * gave them they were learned, and are the best so far.
 *
 * A file of another run is never replaced, unless --overwrite says so or this run began with that
 * very file. It is asked before each write, so of runs that were given one name the first has it;
 * the others say so, and end with EXIT_UNWRITTEN. A run that goes on from a checkpoint, or begins
 * again where there is none, leaves its own file until it is as far as that. */
#include "node/saving.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/file.h"
#include "node/private.h"

enum { PATH_SIZE = 5000 };
static const char best_name[] = "best.safetensors";

static bool is_same_file(const char *a, const char *b)
{
    struct stat s, t;
    return !stat(a, &s) && !stat(b, &t) && s.st_dev == t.st_dev && s.st_ino == t.st_ino;
}

/* --- before the run --- */

static _Noreturn void refuse_place(const char *path)
{
    int error = errno;
    struct stat s;
    if (error == EISDIR || error == EOPNOTSUPP)
        fatal("--save %s: that is %s; name a file", path,
              error == EISDIR ? "a folder" : "a device or a pipe");
    if (stat(path, &s) && !lstat(path, &s))
        fatal("--save %s: that is a link to nothing; remove it, or name another", path);
    const char *slash = strrchr(path, '/');
    int length = !slash ? 0 : slash == path ? 1 : (int)(slash - path);
    fatal("--save %s: cannot write into the folder %.*s (%s); make it, or name another", path,
          length ? length : 1, length ? path : ".", strerror(error));
}

/* In the folder of results, which will be made. */
static bool is_to_be_made(const struct options *o)
{
    size_t length = strlen(o->results);
    struct stat s;
    while (length > 1 && o->results[length - 1] == '/')
        length--;
    return length && stat(o->results, &s) && !strncmp(o->save, o->results, length) &&
           o->save[length] == '/' && !strchr(o->save + length + 1, '/');
}

void saving_check(const struct options *o, const char *saved)
{
    struct weights_note note;
    char what[200] = "it has weights that do not say how long they were trained, or none";
    char best[PATH_SIZE];
    snprintf(best, sizeof best, "%s/%s", o->results, best_name);
    if (!strcmp(o->save, best))
        fatal("--save %s: the best weights go there, and the last ones would replace them; name "
              "another file",
              o->save);
    if (!*o->save || is_to_be_made(o))
        return;
    if (!file_try(o->save))
        refuse_place(o->save);
    enum weights_file there = weights_note_read(o->save, &note);
    bool noted = there == WEIGHTS_NOTED;
    if (there == WEIGHTS_NONE || o->overwrite || (noted && !note.samples) ||
        (saved && !strcmp(saved, o->save)) || is_same_file(o->save, o->init))
        return;
    if (noted)
        snprintf(what, sizeof what,
                 "it has another run's weights, after %lld samples, with a top-1 of %.2f %%",
                 (long long)note.samples, note.top1);
    fatal("--save %s: %s: name another file, begin with it (--init %s), or say --overwrite",
          o->save, what, o->save);
}

/* --- during the run --- */

/* That is this run's file now. */
static void see(struct saver *v, const char *path)
{
    stat(path, &v->seen);
    weights_note_read(path, &v->note);
}

void saving_open(struct node *n)
{
    const struct options *o = n->context->options;
    struct saver *v = &n->own->saver;
    const char *saved = results_saved(n->context->results);
    struct weights_note note;
    char path[PATH_SIZE];
    v->best = -1;
    bool goes_on = saved && *saved && !strcmp(saved, o->save);
    if (is_same_file(o->save, o->init) || goes_on)
        see(v, o->save);
    if (goes_on && !o->overwrite && weights_note_read(o->save, &note) == WEIGHTS_NOTED)
        v->before = note.samples;
    if (!saved)
        return;
    results_path(n->context->results, best_name, path, sizeof path);
    if (weights_note_read(path, &note) == WEIGHTS_NOTED)
        v->best = note.top1;
}

/* Of a file with a note its time says nothing: on NFS it is the client's, and later the server's.
 */
static bool is_as_seen(const struct saver *v, const char *path, const struct stat *s)
{
    const struct stat *seen = &v->seen;
    struct weights_note note;
    if (s->st_dev != seen->st_dev || s->st_ino != seen->st_ino || s->st_size != seen->st_size)
        return false;
    if (weights_note_read(path, &note) == WEIGHTS_NOTED)
        return note.samples == v->note.samples && note.updates == v->note.updates &&
               note.top1 == v->note.top1;
    return s->st_mtim.tv_sec == seen->st_mtim.tv_sec && s->st_mtim.tv_nsec == seen->st_mtim.tv_nsec;
}

/* May this run replace what is there? False and errno. `fresh`: nothing is. */
static bool may_replace(const struct node *n, const char *path, bool *fresh)
{
    struct stat s;
    *fresh = false;
    if (n->context->options->overwrite)
        return true;
    if (stat(path, &s)) {
        *fresh = errno == ENOENT;
        return true; /* another reason is met again when it is written */
    }
    if (!s.st_size || is_as_seen(&n->own->saver, path, &s))
        return true;
    errno = EEXIST;
    return false;
}

/* A disk that stands still is believed for a file, not for both. */
static bool save_to(struct node *n, struct weights_target *to, const float *w)
{
    struct problem *p = n->context->problem;
    const struct evaluator *e = &n->own->evaluator;
    to->note =
        (struct weights_note){.samples = n->samples, .updates = n->version, .top1 = e->last.top1};
    to->disk = n->context->disk;
    struct net_activity before =
        net_act(n->net, (struct net_activity){.pace = NET_BUSY, .what = "saving the weights"});
    bool done = p->kind->save(p, to, w, e->statistics);
    net_act(n->net, before);
    return done;
}

/* Said when it fails, and when it goes well again. */
static void tell(bool done, bool *failed, const char *path)
{
    if (!done && !*failed)
        fprintf(stderr, "nbsgd: cannot write the weights to %s (%s); training goes on\n", path,
                errno == EEXIST ? "another run has written its own there" : strerror(errno));
    else if (done && *failed)
        fprintf(stderr, "nbsgd: the weights are written to %s again\n", path);
    *failed = !done;
}

/* Said once. */
static bool is_behind(const struct node *n, struct saver *v)
{
    bool behind = n->samples < v->before;
    if (behind && !v->waits)
        fprintf(stderr,
                "nbsgd: %s has this run's weights after %lld samples: they stay until these have "
                "seen as many\n",
                n->context->options->save, (long long)v->before);
    v->waits = behind;
    return behind;
}

void saving_last(struct node *n, const float *w)
{
    struct saver *v = &n->own->saver;
    struct weights_target to = {.path = n->context->options->save};
    if (!*to.path || n->version == 0 || node_forwards(n))
        return;
    if (is_behind(n, v))
        return;
    bool done = may_replace(n, to.path, &to.fresh) && save_to(n, &to, w);
    if (done) {
        see(v, to.path);
        v->saved = n->version;
    }
    tell(done, &v->failed, to.path);
}

static bool is_finite(const float *w, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(w[i]))
            return false;
    return true;
}

/* With the statistics of the last evaluation. */
bool saving_newest(struct node *n)
{
    const struct evaluator *e = &n->own->evaluator;
    const float *w = e->set.average ? e->average.w : n->w;
    bool whole = n->context->servers == 1 && !e->set.first && (e->set.average || e->set.server);
    if (n->rank > 0 || !whole || !*n->context->options->save || n->version == 0)
        return false;
    if (n->own->saver.saved == n->version)
        return true;
    if (e->prepare && !e->set.average)
        e->prepare(e->prepare_self);
    if (!is_finite(w, n->count))
        return false;
    saving_last(n, w);
    return n->own->saver.saved == n->version;
}

static void save_best(struct node *n, const float *w)
{
    struct saver *v = &n->own->saver;
    char path[PATH_SIZE];
    struct weights_target to = {.path = path};
    double top1 = n->own->evaluator.last.top1;
    if (!n->context->results || top1 <= v->best)
        return;
    results_path(n->context->results, best_name, path, sizeof path);
    bool done = node_forwards(n) || save_to(n, &to, w); /* forwarded: it was written then */
    tell(done, &v->best_failed, path);
    if (done)
        v->best = top1;
}

void saving_judged(struct node *n, const float *w)
{
    const struct options *o = n->context->options;
    saving_last(n, w);
    if (*o->save && (n->version > 0 || *o->init))
        save_best(n, w);
}

bool saving_best(const struct node *n, char *path, size_t size, double *top1)
{
    *top1 = n->own->saver.best;
    if (*top1 < 0)
        return false;
    results_path(n->context->results, best_name, path, size);
    return true;
}

void saving_end(struct node *n)
{
    const struct saver *v = &n->own->saver;
    if (v->failed)
        node_unwritten(n, n->context->options->save);
    if (v->best_failed)
        node_unwritten(n, best_name);
}
