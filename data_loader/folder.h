/* Where the files of a data set lie, and what lies there instead. Private to data_loader/. */
#ifndef DATA_LOADER_FOLDER_H
#define DATA_LOADER_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

enum { FOLDER_PATH = 4096 };

/* An entry of a folder that is not what was looked for, but shows what the user has. */
struct hint {
    const char *entry; /* its name */
    const char *what;  /* what that is, and what to do, in words */
};

/* FOLDER/INNER/FILE, without a part that is ""; false: it is too long. */
bool folder_join(char path[FOLDER_PATH], const char *folder, const char *inner, const char *file);

/* How many of these files, a list that ends with NULL, are in FOLDER/INNER. */
int folder_count(const char *folder, const char *inner, const char *const *files);

/* Where more of the files are: "" for the folder itself, or one of the names in it (a list that
 * ends with NULL); of equal ones the first. */
const char *folder_inner(const char *folder, const char *const *names, const char *const *files);

/* The path of a file there. Fatal when it has more than FOLDER_PATH - 1 characters. */
void folder_path(char path[FOLDER_PATH], const char *folder, const char *inner, const char *file);

#endif
