/* How a piece of code ends, tried in a child process: for what is meant to be fatal. */
#ifndef TESTS_DEATH_TEST_H
#define TESTS_DEATH_TEST_H

#include <stddef.h>

/* Runs body(argument) in a child. Returns its exit code (128 + the signal that killed it); what it
 * wrote to stderr is in said[]. */
int death_test(void (*body)(const void *argument), const void *argument, char *said, size_t size);

/* Fails the test, showing what was said, unless the body ends with `code` and says each of the
 * `words` (NULL: the end). */
void assert_dies(int code, void (*body)(const void *argument), const void *argument,
                 const char *const *words);

#endif
