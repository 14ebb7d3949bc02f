/* A command line as the program takes it, for the harnesses of options and of their files. */
#ifndef TESTS_FUZZ_CONFIGURATION_H
#define TESTS_FUZZ_CONFIGURATION_H

enum { CONFIGURATION_WORDS = 64 };

struct configuration {
    int argc;
    char *argv[CONFIGURATION_WORDS + 1];
};

/* fuzz_try()'s: parses and checks it as --check-options does. What is taken is written as
 * config.ini and read again, and must come out the same. */
void configuration_check(void *configuration);

#endif
