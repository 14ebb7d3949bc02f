/* A CSV of ours, read whole: head lines "# name: value", a line of names, rows of as many fields.
 *
 * A field in quotes may hold commas, and doubled quotes; it ends in its line (RFC 4180, but for
 * that). No byte is trusted. A last row without a newline was being written: it is left out. */
#ifndef REPORT_CSV_H
#define REPORT_CSV_H

#include <stddef.h>

struct csv {
    char *text, *head;   /* head: its lines, each with its newline; "" without one */
    const char **fields; /* [rows + 1][columns]; the first are the names */
    int columns, rows;
};

/* NULL and the reason in why[]: it is not there, or is no such file. */
struct csv *csv_read(const char *path, char *why, size_t why_size);
void csv_close(struct csv *c); /* NULL is fine */

/* What follows "# name: " in a head, in `value`, which is returned: as many whole characters as
 * fit, "" without such a line. */
const char *head_value(const char *head, const char *name, char *value, size_t size);

int csv_column(const struct csv *c, const char *name); /* -1: none */
/* Row 0 is the first after the names. Column -1: "". */
const char *csv_text(const struct csv *c, int row, int column);
/* NAN where it is empty, or no number; "inf" is INFINITY. */
double csv_number(const struct csv *c, int row, int column);

/* A whole file as text, a NUL after it; NULL and the reason: not there, no plain file, a zero byte
 * in it, or more than 256 MiB. To be given to xfree(). */
char *text_read(const char *path, char *why, size_t why_size);

#endif
