/* Options: one table of rows per set, one setter for the command line and for files.
 *
 * A set is a title, its rows and the struct that they fill. What all runs share fills struct
 * options itself (base/common_options.h). Each member of a family (a scheme, a codec, ...) may have
 * a set of its own in its own file; options_of() returns the filled struct. Rows of two sets may
 * have one name: one word then sets both. argp's list, --help, INI files, config.ini and the man
 * page are all made from the rows. */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/common_options.h"

/* Field types: const char *, const char *, int64_t, double, bool. */
enum option_type { OPTION_TEXT, OPTION_CHOICE, OPTION_INT, OPTION_REAL, OPTION_FLAG };

enum option_flags {
    OPTION_FREE = 1,     /* may differ between a recorded run and its replay */
    OPTION_ABOVE = 2,    /* `least` itself is too small */
    OPTION_BELOW = 4,    /* `most` itself is too great */
    OPTION_ACTION = 8,   /* prints something and ends: no part of a run's configuration */
    OPTION_ENDLESS = 16, /* `inf` is a value, too */
    OPTION_OWN = 32,     /* a rank's own affair: ranks of one job may differ */
    OPTION_BARE = 128,   /* a text that may stand alone, which is "yes" then */
    OPTION_OUTPUT = 64   /* what a run writes, and where: config.ini does not bring it back */
};

struct option_row {
    const char *name; /* as on the command line, without the dashes */
    enum option_type type;
    unsigned flags;
    size_t offset;           /* of the field in the set's struct */
    const char *preset;      /* converted as a value given by the user is */
    const char *placeholder; /* for --help; NULL for choices and flags */
    const char *choices;     /* "one|two|three" of a choice; NULL: option_texts.choices says */
    const char *help;
    const char *old;    /* former names, "one|two": still taken, never shown */
    double least, most; /* of numbers; most 0: 1e15 for whole numbers, no limit for reals */
};

struct option_set {
    const char *title; /* of its group in --help */
    const char *owner; /* "--scheme backup": whose options these are; NULL: of every run */
    const struct option_row *rows; /* ends with a row without a name */
    size_t size;                   /* of the struct that it fills; 0: struct options itself */
};

/* What only the program as a whole knows: texts of --help, what --version prints, and the names
 * that a choice takes which is the name of a family's member ("one|two", "": any). */
struct option_texts {
    const char *summary, *epilog;
    void (*version)(FILE *to);
    void (*choices)(const char *option, char *text, size_t size);
    struct option_files *files; /* NULL: --config reads, and nobody else wants to know what */
};

/* The files that --config names. One rank of a job reads them and hands them to the others, whose
 * host may not have them. */
struct option_files {
    bool handed; /* all that rank 0 read is in here: this rank reads none */
    char *text;  /* of each: its name, a zero byte, what it holds, a zero byte; to be released */
    size_t bytes;
};

/* Fills *o with the presets, then takes --config files and the command line, which wins whatever
 * the order. `sets` ends with NULL; the array need not outlive the call, the sets must. argv's
 * strings are borrowed until options_close(). A mistake is fatal: the line names option, value and
 * range, or the nearest known name. `texts` may be NULL: members' names are then not checked
 * here. */
void options_parse(struct options *o, const struct option_set *const *sets, int argc, char **argv,
                   const struct option_texts *texts);
void options_close(struct options *o);

/* The struct that this set fills; the set must be one of options_parse()'s. */
const void *options_of(const struct options *o, const struct option_set *set);

/* This run uses the options of that member: they are written with the configuration, and are not
 * refused. NULL: it has none. Sets without an owner are always used. */
void options_use(struct options *o, const struct option_set *set);

/* Fatal when the command line gave an option that no set in use has, naming its owner. A file may
 * hold options of several members: it may serve several runs. */
void options_refuse_unused(const struct options *o);

/* Was it given on the command line? There, or in a file? */
bool options_given(const struct options *o, const char *name);
bool options_named(const struct options *o, const char *name);

/* Writes the configuration of this run: `prefix`, name, `between`, value, a line an option, of all
 * sets in use. Rows with any of the flags `without` are left out. With "" and " = " --config reads
 * it again. */
void options_write(const struct options *o, FILE *to, const char *prefix, const char *between,
                   unsigned without);
/* The same of the rows alone that have one of the flags `with`. */
void options_write_only(const struct options *o, FILE *to, const char *prefix, const char *between,
                        unsigned with);

/* All rows for programs: name, type, preset, help, title, choices, placeholder, owner, separated by
 * tabs, a line a row. */
void options_print(const struct options *o, FILE *to);

/* The word of the list nearest to `word` (Levenshtein), NULL when none is near. */
const char *options_nearest(const char *word, const char *const *list, int count);

#endif
