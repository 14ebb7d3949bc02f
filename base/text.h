/* Text for the terminal. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdio.h>

/* A member of a family as --help lists it: "  name  line (paper)", wrapped at 79 columns. paper:
 * NULL when there is none. */
void text_member(FILE *to, const char *name, const char *line, const char *paper);

#endif
