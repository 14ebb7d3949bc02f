/* What a page is made of. */
#ifndef REPORT_HTML_PARTS_H
#define REPORT_HTML_PARTS_H

#include <stdio.h>

#include "report/source.h"

/* Escaped; what is no UTF-8, or no character of XML, becomes '?'. */
void html_text(FILE *f, const char *text);

/* A file of gnuplot's SVG terminal, inline: without its prolog, its names with a number, so that
 * those of several do not meet. */
void html_svg(FILE *f, const char *svg, int number);

/* The section of commands. */
void html_commands(FILE *f, const struct source *s);

void html_begin(FILE *f, const char *title); /* to <body> */
void html_end(FILE *f);                      /* the script, and </html> */

#endif
