/* Which data set a name and a folder mean, and what is said where there is none.
 *
 * People name the folder above, give the archive, fetch the version of another language. Cost: a
 * few looks at names for each kind; where nothing is found, at each entry of the folder. */
#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "data_loader/data_loader.h"
#include "data_loader/folder.h"
#include "data_loader/kinds.h"

/* Does another kind know the files at this place better? */
static bool is_another(const char *folder, const char *place, enum fit fit)
{
    char other[FOLDER_PATH];
    for (int i = 0; dataset_kinds[i]; i++)
        if (dataset_kinds[i]->recognises && dataset_kinds[i]->recognises(folder, other) > fit &&
            !strcmp(other, place))
            return true;
    return false;
}

/* The first kind of `only` (NULL: of all) whose files are in the folder. */
static const struct dataset_kind *recognise(const char *folder, const struct dataset_kind *only)
{
    char place[FOLDER_PATH];
    for (int i = 0; dataset_kinds[i] && *folder; i++) {
        const struct dataset_kind *kind = dataset_kinds[i];
        enum fit fit = kind->recognises && (!only || only == kind) ? kind->recognises(folder, place)
                                                                   : FIT_NONE;
        if (fit && !is_another(folder, place, fit))
            return kind;
    }
    return NULL;
}

static const struct dataset_kind *generated_kind(void)
{
    for (int i = 0; dataset_kinds[i]; i++)
        if (!dataset_kinds[i]->files)
            return dataset_kinds[i];
    return NULL;
}

/* $DATA; NULL: there is none. As of an option, a line break would end its line in each file that
 * names it. */
static const char *variable(void)
{
    const char *data = getenv("DATA");
    for (const char *c = data; c && *c; c++)
        if (iscntrl((unsigned char)*c))
            fatal("DATA: the folder's name has a control character (code %d) in it",
                  (unsigned char)*c);
    return data && *data ? data : NULL;
}

/* The folder that the user named: --data, else $DATA; NULL: none. */
static const char *named_folder(const char *folder)
{
    return folder && *folder ? folder : variable();
}

/* The kind that `name` and `folder` mean, and where its files are; NULL: they are nowhere. A folder
 * that was named is the only one looked into, and images are generated only where none was. */
static const struct dataset_kind *find(const char *name, const char *folder, const char **where)
{
    const bool any = !strcmp(name, "auto");
    const char *named = named_folder(folder), *place = named ? named : "data";
    const struct dataset_kind *wanted = any ? NULL : dataset_kind_of(name), *found;
    *where = NULL;
    if (wanted && !wanted->files)
        return wanted;
    found = recognise(place, wanted);
    if (found)
        *where = place;
    return found || !any || named ? found : generated_kind();
}

/* What an entry of that name is, for a kind or for any (NULL); NULL: nobody knows it. */
static const char *hint(const struct dataset_kind *wanted, const char *entry)
{
    for (int i = 0; dataset_kinds[i]; i++)
        for (const struct hint *h = dataset_kinds[i]->hints; h && h->entry; h++)
            if ((!wanted || wanted == dataset_kinds[i]) && !strcmp(entry, h->entry))
                return h->what;
    return NULL;
}

/* A folder among the entries that has the files, else what is known of one, else their number. */
static void explain_entries(DIR *entries, const struct dataset_kind *wanted, const char *folder,
                            char *text, size_t size)
{
    char path[FOLDER_PATH], first[100] = "";
    int others = 0;
    *text = 0;
    for (struct dirent *e; (e = readdir(entries));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        const struct dataset_kind *inside =
            folder_join(path, folder, "", e->d_name) ? recognise(path, wanted) : NULL;
        const char *what = hint(wanted, e->d_name);
        if (inside) {
            snprintf(text, size, "%s is in %.200s: name that", inside->name, path);
            return;
        }
        if (what)
            snprintf(text, size, "%s is %s", e->d_name, what);
        if (!others++)
            snprintf(first, sizeof first, "%.99s", e->d_name);
    }
    if (!*text && others)
        snprintf(text, size, "it has %d other entr%s, as '%s'", others, others > 1 ? "ies" : "y",
                 first);
    else if (!*text)
        snprintf(text, size, "it is empty");
}

/* What there is in a folder instead of this kind's files, or any kind's (NULL), and what to do. */
static void explain(const struct dataset_kind *wanted, const char *folder, char *text, size_t size)
{
    const char *end = strrchr(folder, '.');
    bool archive = end && (!strcmp(end, ".gz") || !strcmp(end, ".tgz") || !strcmp(end, ".tar") ||
                           !strcmp(end, ".zip"));
    const struct dataset_kind *other = recognise(folder, NULL);
    struct stat s;
    if (other) {
        snprintf(text, size, "it holds %s, which is another data set: --dataset %s", other->name,
                 other->name);
        return;
    }
    if (!stat(folder, &s) && !S_ISDIR(s.st_mode)) {
        snprintf(text, size,
                 archive ? "it is an archive: unpack it, and name the folder" : "it is no folder");
        return;
    }
    DIR *entries = opendir(folder);
    if (!entries) {
        snprintf(text, size, "%s", strerror(errno));
        return;
    }
    explain_entries(entries, wanted, folder, text, size);
    closedir(entries);
}

/* Of what was to be in the folder, any data set (NULL) or that one, there is nothing. */
static _Noreturn void refuse_folder(const struct dataset_kind *wanted, const char *folder)
{
    char found[500] = "", all[1000];
    bool given = folder && *folder;
    const char *named = named_folder(folder);
    explain(wanted, named, found, sizeof found);
    fatal("%s%s: no %s is found there (%s); known are: %s", given ? "--data " : "DATA=", named,
          wanted ? wanted->name : "data set", found, dataset_files(all, sizeof all));
}

void dataset_find(const char *name, const char *folder, const char **kind, const char **where)
{
    const struct dataset_kind *found = find(name, folder, where),
                              *wanted =
                                  found || !strcmp(name, "auto") ? NULL : dataset_kind_of(name);
    if (!found && named_folder(folder))
        refuse_folder(wanted, folder);
    if (!found && wanted)
        fatal("--dataset %s: no %s in data/; name its folder with --data (or $DATA), or fetch it: "
              "%s",
              name, wanted->files, wanted->fetch);
    assert(found && "there is a kind that needs no files");
    *kind = found->name;
}

const struct option_set *dataset_option_set(const char *name, const char *folder)
{
    const char *where;
    const struct dataset_kind *found = find(name, folder, &where);
    return found ? found->options : NULL;
}
