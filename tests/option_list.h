/* Options of an experiment, written as "name=value" words. */
#ifndef TESTS_OPTION_LIST_H
#define TESTS_OPTION_LIST_H

enum { WORDS = 32, WORD = 100 };

struct option_list {
    char text[WORDS][WORD];
    const char *list[WORDS + 1]; /* option_list_words()'s */
    int count;
};

/* A struct option_list may be copied and added to. */
void add_option(struct option_list *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The scheme, and plain SGD at this rate: no momentum, no decay, no schedule. */
void add_plain_sgd(struct option_list *w, const char *scheme, double lr);

/* NULL at the end; valid while *w is */
const char *const *option_list_words(struct option_list *w);

#endif
