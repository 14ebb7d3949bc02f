/* Text for the terminal. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { TEXT_NUMBER = 32 };

/* 30730000 as "30,730,000", in `text`, which is returned. */
char *text_number(char text[TEXT_NUMBER], int64_t number);

/* Of the first `most` bytes of UTF-8 those that end with a whole character. */
size_t text_whole(const char *text, size_t most);

/* A member of a family as --help lists it: "  name  line (paper)", wrapped at 79 columns. paper:
 * NULL when there is none. */
void text_member(FILE *to, const char *name, const char *line, const char *paper);

#endif
