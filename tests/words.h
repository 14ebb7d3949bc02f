/* Options of an experiment, written as "name=value" words. */
#ifndef TESTS_WORDS_H
#define TESTS_WORDS_H

enum { WORDS = 32, WORD = 100 };

struct words {
    char text[WORDS][WORD];
    const char *list[WORDS + 1]; /* words_list()'s */
    int count;
};

/* A struct words may be copied and added to. */
void say(struct words *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The scheme, and plain SGD at this rate: no momentum, no decay, no schedule. */
void say_plain(struct words *w, const char *scheme, double rate);

const char *const *words_list(struct words *w); /* NULL at the end; valid while *w is */

#endif
