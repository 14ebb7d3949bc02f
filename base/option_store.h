/* What the files of options share: base/options.c keeps and converts values, option_line.c reads
 * the command line, option_file.c INI files. No one else includes this. */
#ifndef BASE_OPTION_STORE_H
#define BASE_OPTION_STORE_H

#include "base/options.h"

enum option_source { FROM_PRESET, FROM_FILE, FROM_LINE };

struct option_text { /* a string that a file held; TEXT fields borrow it */
    struct option_text *next;
    char text[];
};

struct option_entry { /* a row, and where its value came from */
    const struct option_row *row;
    int set; /* its index */
    enum option_source source;
    int file_line; /* of the file being read; 0: not in it */
};

struct option_store {
    const struct option_set **sets;
    void **values; /* [count]; the struct that each set fills */
    bool *used;    /* [count] */
    int count;
    struct option_entry *entries; /* of all sets */
    int entry_count;
    struct option_text *texts;
    struct option_files *files; /* NULL: nobody wants them */
    size_t files_taken;         /* bytes of those that were handed in */
    void (*choices)(const char *option, char *text, size_t size); /* option_texts's */
};

enum { CHOICES_SIZE = 400 };

/* Does the row have this name, or had it once? */
bool option_is_named(const struct option_row *row, const char *name);

/* The first entry of that name, NULL when there is none. */
struct option_entry *option_find(const struct option_store *s, const char *name);

/* "one|two|three" of a choice, in `text`; "" when any text will do. */
void option_choices_of(const struct option_store *s, const struct option_row *row,
                       char text[CHOICES_SIZE]);

/* Sets every row of that name, unless a stronger source has. `where`: "FILE:LINE: ", or "". False:
 * there is no such row. */
bool option_set(struct option_store *s, const char *name, const char *value,
                enum option_source source, const char *where);

/* `also`: names that are no rows but could be meant; NULL ends the list. */
_Noreturn void option_unknown(const struct option_store *s, const char *where, const char *name,
                              const char *const *also);

void option_read_file(struct option_store *s, const char *path);
void option_read_line(struct option_store *s, int argc, char **argv,
                      const struct option_texts *texts);

#endif
