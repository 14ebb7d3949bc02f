/* INI files: "name = value", [sections], comments after ';' or '#' at a line's beginning or after a
 * blank. What is in quotes is taken as it is. A mistake is fatal, with file and line. */
#ifndef BASE_INI_FILE_H
#define BASE_INI_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct ini_line {
    const char *path;
    int number;          /* of the line, from 1 */
    const char *section; /* "": before the first one */
    const char *name;    /* NULL: the line begins the section */
    char *value;         /* without its quotes; may be written to */
};

/* Calls take() for each section and for each value, in the file's order. Borrows for the call. A
 * byte-order mark is skipped. `path` is for messages. */
void ini_read(const char *path, const char *text, size_t bytes,
              void (*take)(void *self, const struct ini_line *line), void *self);

enum { INI_MOST = 1 << 20 }; /* bytes of a file */

/* All of a file, at most INI_MOST, with a zero byte behind, to be released. A file of the user's,
 * else one that came with the program (base/paths.h). NULL and errno: it cannot be read. EFBIG: it
 * is no file of options. */
char *ini_load(const char *path, size_t *bytes);

/* Does a file have this value only in quotes? */
bool ini_needs_quotes(const char *text);

/* "FILE:LINE: " for a message. */
enum { INI_WHERE = 512 };
void ini_where(const char *path, int line, char where[INI_WHERE]);

#endif
