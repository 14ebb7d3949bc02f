/* What rank 0's thread does when all files of state are there: the weights, the manifest, the name.
 * And what the thread of any rank has for files in the folder that is being written. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/wall_clock.h"
#include "checkpoint/private.h"

static const double look_first_s = 1e-3, look_last_s = 0.05;

enum { PATIENCE = 10 };

/* --- files in the folder that is being written --- */

bool writer_part(const struct checkpoint_writer *w, int64_t number, char path[PATH_MAX])
{
    errno = ENAMETOOLONG;
    return snprintf(path, PATH_MAX, "%s/.%" PRId64 "-%016" PRIx64 ".part", w->folder, number,
                    w->o.run) < PATH_MAX;
}

bool writer_path(const struct checkpoint_writer *w, const char *name, char path[PATH_MAX])
{
    errno = ENAMETOOLONG;
    return snprintf(path, PATH_MAX, "%s/%s", w->part, name) < PATH_MAX;
}

void writer_failed(struct checkpoint_writer *w, const char *what)
{
    char name[NAME_SIZE];
    atomic_store(&w->failed, true);
    folder_name(name, w->samples);
    fprintf(stderr, "nbsgd: rank %d: checkpoint %s/%s: %s (%s); training goes on\n", w->o.rank,
            w->folder, name, what, strerror(errno));
}

/* A file that is on the disk when it has its name. */
bool writer_file(const struct checkpoint_writer *w, const char *name, bool (*write)(FILE *, void *),
                 void *self)
{
    char path[PATH_MAX], part[PATH_MAX + 8];
    if (!writer_path(w, name, path))
        return false;
    snprintf(part, sizeof part, "%s.part", path);
    int number = open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    FILE *file = number < 0 ? NULL : fdopen(number, "wb");
    if (!file)
        return false;
    bool done = write(file, self) && !fflush(file) &&
                disk_wrote(w->o.disk, DISK_CHECKPOINT, number, 0) && !fsync(number);
    int error = errno;
    if (fclose(file) && done) {
        done = false;
        error = errno;
    }
    errno = error;
    return done && !rename(part, path);
}

bool write_text(FILE *file, void *self)
{
    const struct text *text = self;
    return fwrite(text->bytes, text->size, 1, file) == 1;
}

/* --- rank 0 --- */

/* A folder on NFS may not show for a minute what another host has made in it, unless it is opened
 * anew. */
static void look_again(const struct checkpoint_writer *w)
{
    int folder = open(w->part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0)
        close(folder);
}

static bool is_there(const struct checkpoint_writer *w, int rank, const char *end)
{
    char name[NAME_SIZE], path[PATH_MAX];
    snprintf(name, sizeof name, "rank-%d.%s", rank, end);
    return writer_path(w, name, path) && !access(path, F_OK);
}

/* Waits for all files of state. */
static bool await_all(const struct checkpoint_writer *w)
{
    double began_s = wall_s(), closes_s = INFINITY, look_s = look_first_s;
    for (int rank = 1; rank < w->o.ranks;) {
        if (is_there(w, rank, "json")) {
            rank++;
            continue;
        }
        double now_s = wall_s();
        if (atomic_load(&w->gives_up))
            return false;
        if (atomic_load(&w->closes) && closes_s == INFINITY)
            closes_s = now_s + w->o.deadline_s;
        bool failed = is_there(w, rank, "failed");
        if (failed || now_s > closes_s || now_s > began_s + PATIENCE * w->o.deadline_s) {
            fprintf(stderr,
                    "nbsgd: checkpoint of %" PRId64 " samples: %s rank %d; training goes on. %s\n",
                    w->samples, failed ? "given up by" : "no file of state came from", rank,
                    failed ? ""
                           : "Is it there, and does it see --checkpoint-dir as all ranks must?");
            return false;
        }
        nanosleep(&(struct timespec){.tv_nsec = (long)(look_s * 1e9)}, NULL);
        look_s = fmin(2 * look_s, look_last_s);
        look_again(w);
    }
    return true;
}

static const struct kept *find(const struct kept *list, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(list[i].name, name))
            return &list[i];
    return NULL;
}

/* Adds the part that this list has. Returns how many floats there are then. */
static int64_t add_part(const struct kept *list, int count, float *to, int64_t used, int64_t most)
{
    const struct kept *part = find(list, count, "weights");
    if (!part || part->type != STATE_F32 || part->count > most - used)
        return used;
    memcpy(to + used, part->memory, (size_t)part->count * sizeof *to);
    return used + part->count;
}

static int64_t add_part_of(const struct checkpoint_writer *w, int rank, float *to, int64_t used)
{
    char name[NAME_SIZE], path[PATH_MAX], why[WHY_SIZE];
    struct mapped file = {.size = 0};
    struct kept *list = NULL;
    int count = 0;
    snprintf(name, sizeof name, "rank-%d.safetensors", rank);
    if (writer_path(w, name, path) && file_map(&file, path, why, sizeof why))
        list = state_file_read(&file, &count, why, sizeof why);
    used = add_part(list, count, to, used, w->o.floats);
    xfree(list);
    file_unmap(&file);
    return used;
}

/* The weights as torchvision names them. Of several parts the others are read back. */
static bool write_weights(const struct checkpoint_writer *w)
{
    char path[PATH_MAX];
    const struct kept *statistics = find(w->list, w->count, "statistics"),
                      *own = find(w->list, w->count, "weights");
    if (!w->o.save_weights || !writer_path(w, "weights.safetensors", path))
        return !w->o.save_weights;
    bool whole = own && own->count == w->o.floats;
    float *all = whole ? own->memory : xcalloc((size_t)w->o.floats, sizeof *all);
    int64_t used = whole ? w->o.floats : add_part(w->list, w->count, all, 0, w->o.floats);
    for (int rank = 1; rank < w->o.ranks && used < w->o.floats; rank++)
        used = add_part_of(w, rank, all, used);
    errno = EIO;
    bool saved = used == w->o.floats &&
                 w->o.save_weights(w->o.self, path, all, statistics ? statistics->memory : NULL);
    int error = errno;
    if (!whole)
        xfree(all);
    errno = error;
    return saved;
}

/* "name": {what its .json says}, or, of another file, its bytes and digest. */
static bool print_file(const struct checkpoint_writer *w, FILE *f, const char *name,
                       const char *json)
{
    char path[PATH_MAX], why[WHY_SIZE], digest[DIGEST_TEXT];
    struct mapped file;
    if (!writer_path(w, json ? json : name, path) || !file_map(&file, path, why, sizeof why))
        return false;
    if (json) {
        fprintf(f, "\"%s\": %.*s", name, (int)file.size, (const char *)file.bytes);
    } else {
        digest_text(digest_of(file.bytes, file.size), digest);
        fprintf(f, "\"%s\": {\"bytes\": %zu, \"xxh3\": \"%s\"}", name, file.size, digest);
    }
    file_unmap(&file);
    return true;
}

static bool print_files(const struct checkpoint_writer *w, FILE *f)
{
    char name[NAME_SIZE], json[NAME_SIZE];
    bool printed = true;
    for (int rank = 0; rank < w->o.ranks && printed; rank++) {
        snprintf(name, sizeof name, "rank-%d.safetensors", rank);
        snprintf(json, sizeof json, "rank-%d.json", rank);
        fputs(rank ? ",\n    " : "\n    ", f);
        printed = print_file(w, f, name, json);
    }
    if (printed && w->o.save_weights) {
        fputs(",\n    ", f);
        printed = print_file(w, f, "weights.safetensors", NULL);
    }
    return printed;
}

static bool write_manifest(const struct checkpoint_writer *w)
{
    char *bytes = NULL, end[MANIFEST_END + 1];
    struct text text = {.size = 0};
    const char *fields = strchr(w->manifest, '{'), *close = strrchr(w->manifest, '}');
    FILE *f = open_memstream(&bytes, &text.size);
    CHECK(f && fields && close > fields, "a manifest that is no object");
    fprintf(f, "{\n  \"format\": %d,\n  \"samples\": %" PRId64 ",\n  \"rank_files\": %d,",
            CHECKPOINT_FORMAT, w->samples, w->o.ranks);
    fprintf(f, "%.*s,\n  \"files\": {", (int)(close - fields - 1), fields + 1);
    bool printed = print_files(w, f);
    fputs("\n  }", f);
    fflush(f);
    manifest_end(end, bytes, text.size);
    fputs(end, f);
    fclose(f);
    text.bytes = bytes;
    bool written = printed && writer_file(w, "manifest.json", write_text, &text);
    int error = errno;
    free(bytes);
    errno = error;
    return written;
}

/* What said that files were there says the manifest now. */
static void remove_notes(const struct checkpoint_writer *w)
{
    char name[NAME_SIZE], path[PATH_MAX];
    for (int rank = 0; rank < w->o.ranks; rank++) {
        snprintf(name, sizeof name, "rank-%d.json", rank);
        if (writer_path(w, name, path))
            unlink(path);
    }
}

/* The folder gets its name. One of that name that is there is older, and was found broken. */
static bool publish(const struct checkpoint_writer *w)
{
    char name[NAME_SIZE], path[PATH_MAX], old[PATH_MAX + 8];
    folder_name(name, w->samples);
    errno = ENAMETOOLONG;
    if (snprintf(path, sizeof path, "%s/%s", w->folder, name) >= (int)sizeof path)
        return false;
    snprintf(old, sizeof old, "%s.old", w->part);
    bool replaces = !rename(path, old);
    if (!folder_sync(w->part) || rename(w->part, path) || !folder_sync(w->folder))
        return false;
    if (replaces)
        folder_remove(old);
    return true;
}

static void remove_oldest(const struct checkpoint_writer *w)
{
    int count;
    char name[NAME_SIZE], path[PATH_MAX];
    int64_t *list = folder_list(w->folder, &count);
    while (count && list[count - 1] > w->samples) /* broken ones of a run that was further */
        count--;
    for (int i = 0; w->o.keep && i < count - w->o.keep; i++) {
        folder_name(name, list[i]);
        if (snprintf(path, sizeof path, "%s/%s", w->folder, name) < (int)sizeof path)
            folder_remove(path);
    }
    free(list);
}

/* A rank that was late may have made the folder of one that was given up again. */
void writer_remove_given_up(struct checkpoint_writer *w, int64_t last)
{
    char path[PATH_MAX];
    for (; w->removed < last; w->removed++)
        if (writer_part(w, w->removed + 1, path))
            folder_remove(path);
}

bool writer_complete(struct checkpoint_writer *w)
{
    if (!await_all(w))
        return false;
    if (!write_weights(w)) {
        writer_failed(w, "cannot write the weights");
        return false;
    }
    if (!write_manifest(w)) {
        writer_failed(w, "cannot write the manifest");
        return false;
    }
    remove_notes(w);
    if (!publish(w)) {
        writer_failed(w, "cannot name the folder");
        return false;
    }
    remove_oldest(w);
    /* all ranks have written this one, so none writes to one before it any more */
    writer_remove_given_up(w, w->number - 1);
    atomic_fetch_add(&w->written, 1);
    return true;
}
