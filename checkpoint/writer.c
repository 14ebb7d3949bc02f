/* A cut, and the thread that writes it. The thread talks to nobody: ranks meet in the folder.
 *
 *   rank N   .NUMBER-RUN.part/rank-N.safetensors, synced; then rank-N.json: its bytes and digest
 *   rank 0   waits for all of these; weights.safetensors, manifest.json; syncs; renames the folder
 *
 * A rank that fails leaves rank-N.failed, and rank 0 gives that checkpoint up. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "checkpoint/private.h"

enum { ALIGN = 64, SLACK = 1 << 20, FEW = 4, LISTED = 32 };

struct checkpoint_writer *checkpoint_writer_open(const struct checkpoint_writer_options *o)
{
    struct checkpoint_writer *w = xcalloc(1, sizeof *w);
    w->o = *o;
    w->folder = strdup(o->folder);
    return w;
}

bool checkpoint_writer_is_busy(const struct checkpoint_writer *w)
{
    return atomic_load(&w->busy);
}

bool checkpoint_writer_failed(const struct checkpoint_writer *w)
{
    return atomic_load(&w->failed);
}

int64_t checkpoint_writer_written(const struct checkpoint_writer *w)
{
    return atomic_load(&w->written);
}

struct content {
    const struct checkpoint_writer *w;
    struct file_mark mark;
};

static bool write_state(FILE *file, void *self)
{
    struct content *c = self;
    return state_file_write(file, c->w->list, c->w->count, &c->mark);
}

static void print_number(FILE *f, const struct kept *k, int64_t i)
{
    if (k->type == STATE_I64)
        fprintf(f, "%" PRId64, ((const int64_t *)k->memory)[i]);
    else if (isfinite(((const double *)k->memory)[i]))
        fprintf(f, "%.17g", ((const double *)k->memory)[i]);
    else
        fputs("null", f);
}

/* The first short lists of numbers, for people: a run is resumed from those in rank-N.safetensors.
 * A coder may have one for each worker, so that all of them would be W x W. */
static void print_numbers(FILE *f, const struct kept *list, int count)
{
    const char *between = "";
    for (int i = 0, listed = 0; i < count && listed < LISTED; i++) {
        const struct kept *k = &list[i];
        if ((k->type != STATE_I64 && k->type != STATE_F64) || k->count > FEW)
            continue;
        fprintf(f, "%s\"%s\": ", between, k->name);
        fputs(k->count == 1 ? "" : "[", f);
        for (int64_t n = 0; n < k->count; n++) {
            fputs(n ? ", " : "", f);
            print_number(f, k, n);
        }
        fputs(k->count == 1 ? "" : "]", f);
        between = ", ";
        listed++;
    }
}

/* The rank's file, then what says that it is there. */
static bool write_rank(const struct checkpoint_writer *w)
{
    char name[NAME_SIZE], digest[DIGEST_TEXT], *bytes = NULL;
    struct content content = {.w = w};
    struct text text;
    snprintf(name, sizeof name, "rank-%d.safetensors", w->o.rank);
    if (!folder_make(w->part) || !writer_file(w, name, write_state, &content))
        return false;
    FILE *f = open_memstream(&bytes, &text.size);
    CHECK(f, "no memory for a checkpoint's digest");
    digest_text(content.mark.digest, digest);
    fprintf(f, "{\"bytes\": %" PRIu64 ", \"xxh3\": \"%s\", \"numbers\": {", content.mark.bytes,
            digest);
    print_numbers(f, w->list, w->count);
    fputs("}}", f);
    fclose(f);
    text.bytes = bytes;
    snprintf(name, sizeof name, "rank-%d.json", w->o.rank);
    bool written = writer_file(w, name, write_text, &text);
    int error = errno;
    free(bytes);
    errno = error;
    return written;
}

static void leave_failure(const struct checkpoint_writer *w)
{
    char name[NAME_SIZE], path[PATH_MAX];
    snprintf(name, sizeof name, "rank-%d.failed", w->o.rank);
    int file = writer_path(w, name, path) ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666) : -1;
    if (file >= 0)
        close(file);
}

static void *write_all(void *self)
{
    struct checkpoint_writer *w = self;
    bool done = write_rank(w);
    if (!done && w->o.rank > 0 && errno == ENOENT) { /* the folder is gone: rank 0 gave it up */
        atomic_store(&w->busy, false);
        return NULL;
    }
    if (!done) {
        writer_failed(w, "cannot write the rank's state");
        leave_failure(w);
    }
    if (w->o.rank == 0) {
        done = done && writer_complete(w);
        if (!done)
            folder_remove(w->part);
    }
    if (!done && !atomic_load(&w->gives_up))
        atomic_store(&w->failed, true);
    atomic_store(&w->busy, false);
    return NULL;
}

/* --- the cut --- */

static size_t room_of(const struct kept *k)
{
    size_t bytes = (size_t)k->count * state_size(k->type);
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static void copy_state(struct checkpoint_writer *w, const struct kept *state, int count)
{
    size_t room = 0;
    for (int i = 0; i < count; i++)
        room += room_of(&state[i]);
    if (room > w->room) {
        room += SLACK; /* lists of evaluations and of numbers grow */
        xfree(w->copy);
        w->copy = xcalloc(room, 1);
        w->room = room;
    }
    if (count > w->list_room) {
        xfree(w->list);
        w->list = xcalloc((size_t)count, sizeof *w->list);
        w->list_room = count;
    }
    char *to = w->copy;
    for (int i = 0; i < count; i++) {
        w->list[i] = state[i];
        w->list[i].memory = to;
        if (state[i].count)
            memcpy(to, state[i].memory, (size_t)state[i].count * state_size(state[i].type));
        to += room_of(&state[i]);
    }
    w->count = count;
}

static void join(struct checkpoint_writer *w)
{
    if (w->started)
        pthread_join(w->thread, NULL);
    w->started = false;
}

/* Signals are the main thread's. */
static void start(struct checkpoint_writer *w)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    atomic_store(&w->busy, true);
    int error = pthread_create(&w->thread, NULL, write_all, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    CHECK(!error, "no thread for a checkpoint: %s", strerror(error));
    w->started = true;
}

void checkpoint_write(struct checkpoint_writer *w, int64_t number, int64_t samples,
                      const struct kept *state, int count, const char *manifest)
{
    atomic_store(&w->gives_up, true);
    join(w);
    atomic_store(&w->gives_up, false);
    copy_state(w, state, count);
    w->number = number;
    w->samples = samples;
    free(w->manifest);
    w->manifest = manifest ? strdup(manifest) : NULL;
    if (!writer_part(w, number, w->part)) {
        writer_failed(w, "a name that is too long");
        return;
    }
    start(w);
}

void checkpoint_writer_give_up(struct checkpoint_writer *w)
{
    atomic_store(&w->gives_up, true);
}

void checkpoint_writer_end(struct checkpoint_writer *w)
{
    atomic_store(&w->closes, true);
}

void checkpoint_writer_close(struct checkpoint_writer *w)
{
    if (!w)
        return;
    checkpoint_writer_end(w);
    join(w);
    if (w->o.rank == 0)
        writer_remove_given_up(w, w->number);
    xfree(w->copy);
    xfree(w->list);
    free(w->manifest);
    free(w->folder);
    xfree(w);
}
