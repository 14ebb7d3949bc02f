/* A checkpoint that is there: its manifest, and its files of state as they lie in memory. */
#include "checkpoint/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "checkpoint/private.h"

enum { MOST_RANKS = 1000000 };

struct rank_state {
    struct mapped file;
    struct kept *list;
    int count;
};

struct checkpoint {
    char folder[PATH_MAX];
    struct manifest manifest;
    struct rank_state *rank; /* [ranks] */
    int ranks;
};

/* --- opening --- */

static bool open_manifest(struct checkpoint *c, char *why, size_t why_size)
{
    char path[PATH_MAX + 16], wrong[WHY_SIZE];
    struct mapped file;
    uint64_t format, ranks;
    snprintf(path, sizeof path, "%s/manifest.json", c->folder);
    if (!file_map(&file, path, wrong, sizeof wrong)) {
        snprintf(why, why_size, "its manifest.json: %s", wrong);
        return false;
    }
    bool whole = manifest_is_whole(&file, why, why_size);
    bool parsed = whole && manifest_parse(&c->manifest, file.bytes, file.size, wrong, sizeof wrong);
    file_unmap(&file);
    if (whole && !parsed)
        snprintf(why, why_size, "its manifest.json: %s", wrong);
    if (!parsed)
        return false;
    if (!manifest_number(&c->manifest, "format", &format) || format != CHECKPOINT_FORMAT) {
        snprintf(why, why_size, "its format is not %d, the one that this program writes",
                 CHECKPOINT_FORMAT);
        return false;
    }
    if (!manifest_number(&c->manifest, "rank_files", &ranks) || !ranks || ranks > MOST_RANKS) {
        snprintf(why, why_size, "its manifest does not say of how many ranks it is");
        return false;
    }
    c->ranks = (int)ranks;
    return true;
}

/* Maps a file; is it the one that the manifest names? `judges`: its digest is taken, too. */
static bool open_file(const struct checkpoint *c, const char *name, bool judges,
                      struct mapped *file, char *why, size_t why_size)
{
    char path[PATH_MAX + 64], field[128], wrong[WHY_SIZE];
    uint64_t bytes, digest;
    snprintf(path, sizeof path, "%s/%s", c->folder, name);
    if (!file_map(file, path, wrong, sizeof wrong)) {
        snprintf(why, why_size, "its %s: %s", name, wrong);
        return false;
    }
    snprintf(field, sizeof field, "files/%s/bytes", name);
    bool known = manifest_number(&c->manifest, field, &bytes);
    snprintf(field, sizeof field, "files/%s/xxh3", name);
    known = known && manifest_digest(&c->manifest, field, &digest);
    if (!known)
        snprintf(why, why_size, "its manifest does not name %s", name);
    else if (bytes != file->size)
        snprintf(why, why_size, "its %s is torn: %zu of %" PRIu64 " bytes", name, file->size,
                 bytes);
    else if (judges && digest_of(file->bytes, file->size) != digest)
        snprintf(why, why_size, "its %s was changed: the digest differs", name);
    else
        return true;
    file_unmap(file);
    return false;
}

static bool open_rank(struct checkpoint *c, int rank, bool judges, char *why, size_t why_size)
{
    struct rank_state *s = &c->rank[rank];
    char name[64], wrong[WHY_SIZE];
    snprintf(name, sizeof name, "rank-%d.safetensors", rank);
    if (!open_file(c, name, judges, &s->file, why, why_size))
        return false;
    s->list = state_file_read(&s->file, &s->count, wrong, sizeof wrong);
    if (!s->list)
        snprintf(why, why_size, "its %s: %s", name, wrong);
    return s->list;
}

/* Nobody reads the weights here; but a checkpoint with a broken file is none. */
static bool judge_weights(const struct checkpoint *c, char *why, size_t why_size)
{
    struct mapped file;
    if (!manifest_value(&c->manifest, "files/weights.safetensors/bytes"))
        return true;
    if (!open_file(c, "weights.safetensors", true, &file, why, why_size))
        return false;
    file_unmap(&file);
    return true;
}

struct checkpoint *checkpoint_open(const char *folder, int rank, char *why, size_t why_size)
{
    struct checkpoint *c = xcalloc(1, sizeof *c);
    bool opened = snprintf(c->folder, sizeof c->folder, "%s", folder) < (int)sizeof c->folder;
    if (!opened)
        snprintf(why, why_size, "its name is too long");
    opened = opened && open_manifest(c, why, why_size);
    if (opened)
        c->rank = xcalloc((size_t)c->ranks, sizeof *c->rank);
    for (int r = 0; r < c->ranks && opened; r++)
        opened = open_rank(c, r, rank < 0 || rank == r, why, why_size);
    opened = opened && (rank >= 0 || judge_weights(c, why, why_size));
    if (opened)
        return c;
    checkpoint_close(c);
    return NULL;
}

void checkpoint_close(struct checkpoint *c)
{
    if (!c)
        return;
    for (int r = 0; r < c->ranks && c->rank; r++) {
        xfree(c->rank[r].list);
        file_unmap(&c->rank[r].file);
    }
    xfree(c->rank);
    manifest_close(&c->manifest);
    xfree(c);
}

/* --- finding --- */

/* What was never finished, so that nobody wonders. */
static void say_parts(const char *folder, FILE *say)
{
    DIR *list = opendir(folder);
    for (struct dirent *e; list && (e = readdir(list));) {
        size_t length = strlen(e->d_name);
        if (*e->d_name == '.' && length > 5 && !strcmp(e->d_name + length - 5, ".part"))
            fprintf(say, "%s/%s: was never finished\n", folder, e->d_name);
    }
    if (list)
        closedir(list);
}

static struct checkpoint *newest_in(const char *folder, FILE *say)
{
    struct checkpoint *found = NULL;
    int count;
    int64_t *list = folder_list(folder, &count);
    say_parts(folder, say);
    for (int i = count - 1; i >= 0 && !found; i--) {
        char name[64], path[PATH_MAX], why[WHY_SIZE];
        folder_name(name, list[i]);
        if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
            continue;
        found = checkpoint_open(path, -1, why, sizeof why);
        if (!found)
            fprintf(say, "%s: %s\n", path, why);
    }
    free(list);
    return found;
}

struct checkpoint *checkpoint_find(const char *folder, FILE *say)
{
    char path[PATH_MAX], why[WHY_SIZE];
    if (snprintf(path, sizeof path, "%s/manifest.json", folder) >= (int)sizeof path)
        return NULL;
    if (!access(path, F_OK)) {
        struct checkpoint *c = checkpoint_open(folder, -1, why, sizeof why);
        if (!c)
            fprintf(say, "%s: %s\n", folder, why);
        return c;
    }
    struct checkpoint *c = newest_in(folder, say);
    if (c || snprintf(path, sizeof path, "%s/checkpoints", folder) >= (int)sizeof path)
        return c;
    return newest_in(path, say);
}

bool checkpoint_folder_is_used(const char *folder)
{
    int count;
    free(folder_list(folder, &count));
    return count > 0;
}

/* --- what it holds --- */

const char *checkpoint_folder(const struct checkpoint *c)
{
    return c->folder;
}

int checkpoint_ranks(const struct checkpoint *c)
{
    return c->ranks;
}

const char *checkpoint_field(const struct checkpoint *c, const char *name)
{
    return manifest_value(&c->manifest, name);
}

bool checkpoint_list(const struct checkpoint *c, const char *prefix, int i, const char **name,
                     const char **value)
{
    size_t length = strlen(prefix);
    for (int f = 0; f < c->manifest.fields; f++)
        if (!strncmp(c->manifest.field[f].name, prefix, length) && !i--) {
            *name = c->manifest.field[f].name + length;
            *value = c->manifest.field[f].value;
            return true;
        }
    return false;
}

struct kept checkpoint_state(const struct checkpoint *c, int rank, const char *name)
{
    const struct rank_state *s = rank >= 0 && rank < c->ranks ? &c->rank[rank] : NULL;
    const struct kept *found = s ? state_file_find(s->list, s->count, name) : NULL;
    return found ? *found : (struct kept){.memory = NULL};
}

bool checkpoint_load(const struct checkpoint *c, int rank, const struct kept *to, char *why,
                     size_t why_size)
{
    struct kept k = checkpoint_state(c, rank, to->name);
    if (!k.memory)
        snprintf(why, why_size, "rank %d kept no %s", rank, to->name);
    else if (k.type != to->type || k.count != to->count)
        snprintf(why, why_size, "rank %d kept %lld of %s as %s, %lld of %s are expected", rank,
                 (long long)k.count, state_name(k.type), to->name, (long long)to->count,
                 state_name(to->type));
    else if (k.count)
        memcpy(to->memory, k.memory, (size_t)k.count * state_size(k.type));
    return k.memory && k.type == to->type && k.count == to->count;
}

bool checkpoint_load_parts(const struct checkpoint *c, const char *name, float *to, int64_t count)
{
    int64_t used = 0;
    for (int rank = 0; rank < c->ranks && used < count; rank++) {
        struct kept k = checkpoint_state(c, rank, name);
        if (!k.memory || k.type != STATE_F32 || k.count > count - used)
            continue;
        memcpy(to + used, k.memory, (size_t)k.count * sizeof *to);
        used += k.count;
    }
    return used == count;
}
