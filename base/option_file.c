/* Files of options: base/ini_file.h reads them, [sections] only group. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/file.h"
#include "base/ini_file.h"
#include "base/option_store.h"

/* A line of a file of options. */
static void take(void *self, const struct ini_line *line)
{
    struct option_store *s = self;
    char where[INI_WHERE], plain[100];
    if (!line->name)
        return;
    ini_where(line->path, line->number, where);
    snprintf(plain, sizeof plain, "%s", line->name);
    for (char *c = plain; *c; c++)
        if (*c == '_')
            *c = '-';
    struct option_entry *e = option_find(s, plain);
    if (!e)
        option_unknown(s, where, line->name, NULL);
    if (e->file_line)
        fatal("%s'%s' is already set in line %d; leave one", where, e->row->name, e->file_line);
    e->file_line = line->number;
    option_set(s, e->row->name, line->value, FROM_FILE, where);
}

static char *read_whole(const char *path, size_t *bytes)
{
    char *text = ini_load(path, bytes);
    if (!text && errno == EFBIG)
        fatal("--config %s: more than %d bytes: this is no file of options", path, INI_MOST);
    if (!text)
        fatal("--config: cannot read %s (%s)", path, file_why(errno));
    return text;
}

/* Rank 0's n-th file must be this rank's n-th. */
static char *take_handed(struct option_store *s, const char *path, size_t *bytes)
{
    const struct option_files *f = s->files;
    const char *name = f->text + s->files_taken;
    bool there = s->files_taken < f->bytes;
    if (!there || strcmp(name, path))
        fatal("--config %s: rank 0 has %s%s in this place; give all ranks the same files in one "
              "order",
              path, there ? "--config " : "no file", there ? name : "");
    const char *text = name + strlen(name) + 1;
    *bytes = strlen(text);
    s->files_taken += strlen(name) + 1 + *bytes + 1;
    char *copy = xcalloc(*bytes + 1, 1);
    return memcpy(copy, text, *bytes);
}

/* For the other ranks. It was read to its end: there is no zero byte in it. */
static void keep_file(struct option_files *f, const char *path, const char *text)
{
    size_t name = strlen(path) + 1, size = strlen(text) + 1;
    char *all = xcalloc(f->bytes + name + size, 1);
    if (f->bytes)
        memcpy(all, f->text, f->bytes);
    memcpy(all + f->bytes, path, name);
    memcpy(all + f->bytes + name, text, size);
    xfree(f->text);
    f->text = all;
    f->bytes += name + size;
}

void option_read_file(struct option_store *s, const char *path)
{
    size_t bytes;
    bool handed = s->files && s->files->handed;
    char *text = handed ? take_handed(s, path, &bytes) : read_whole(path, &bytes);
    for (int i = 0; i < s->entry_count; i++)
        s->entries[i].file_line = 0;
    ini_read(path, text, bytes, take, s);
    if (s->files && !handed)
        keep_file(s->files, path, text);
    xfree(text);
}
