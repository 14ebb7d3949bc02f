/* Tables to read, of a report's numbers; Markdown and HTML print them. */
#ifndef REPORT_TABLES_H
#define REPORT_TABLES_H

#include <stdio.h>

#include "report/numbers.h"

struct cell {
    char *text;
    double value; /* to sort by; NAN: the text */
};

struct table {
    char *title, *words; /* words: what stands in it */
    bool is_long;        /* a row a run: for HTML alone */
    int columns, rows, room;
    char **heads;       /* [columns] */
    struct cell *cells; /* [rows][columns] */
};

struct tables {
    struct table *list;
    int count;
};

struct report { /* what all that writes is handed */
    const struct report_options *options;
    const struct source *source;
    const struct numbers *numbers;
    int baseline; /* a setting */
    struct tables tables;
};

void tables_fill(struct report *r);
void tables_close(struct tables *t);

/* "12.3", "never", "-"; with so many decimals. In text[], which is returned. */
enum { NUMBER_TEXT = 40 };
const char *number_text(char text[NUMBER_TEXT], double value, int decimals);

/* --- the files; each ends the program where it cannot be written --- */

/* Writes FOLDER/NAME whole by write(file, r). */
void report_file(const struct report *r, const char *name,
                 void (*write)(FILE *f, const struct report *r));

void write_csv(FILE *f, const struct report *r);
void write_json(FILE *f, const struct report *r);
void write_markdown(FILE *f, const struct report *r);
void write_html(FILE *f, const struct report *r);
void write_status(FILE *f, const struct source *s); /* "36 runs: 35 done, 1 missing.\n" */

/* Rows of figures, and the figures. */
void figures_write(const struct report *r);

struct figure {
    const char *script; /* plots/SCRIPT.gp */
    int case_at;        /* -1: all */
    char name[256];     /* figures/NAME.csv, .svg, .png */
    char title[REPORT_WORDS];
};
enum { MOST_FIGURES = 200 };

/* Those that this report has; returns how many. */
int figures_list(const struct report *r, struct figure list[MOST_FIGURES]);

#endif
