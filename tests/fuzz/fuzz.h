/* What the harnesses of tests/fuzz/ share. Each has LLVMFuzzerTestOneInput(), which hands the bytes
 * to one reader of the program.
 *
 * fatal() and CHECK() are right ends of a reader. The program exits there; a harness goes on with
 * its next input: exit() is wrapped by the linker. What the input had allocated or opened is then
 * given back, where a sanitizer says what that was. libFuzzer brings a main() of its own; without
 * clang tests/fuzz/driver.c's runs the corpus, and keyed mutations of it. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Writes good input number `number` into bytes[FUZZ_SEED_MOST] and returns its size; 0: there is no
 * such number. A harness may define it: seeds that are made take no room in the corpus. */
enum { FUZZ_SEED_MOST = 4096 };
size_t fuzz_seed(int number, uint8_t *bytes);

/* Once, before any input. A harness may define it. */
void fuzz_open(void);

/* Runs body(self). Returns the code with which it ended the program, 0 when it returned. Counts
 * both. A code that is none of base/check.h is a defect. */
int fuzz_try(void (*body)(void *self), void *self);

/* What a reader did is wrong: says so and aborts. */
void fuzz_defect(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* A file of these bytes, until the next call; its path. */
const char *fuzz_file(const uint8_t *bytes, size_t size);
const char *fuzz_folder(void); /* an empty folder of this process's own, removed at its end */

/* How inputs ended so far; the driver looks. */
struct fuzz_counts {
    int64_t taken, refused;
};
struct fuzz_counts *fuzz_counts(void);

/* --- an input as a list of numbers; beyond its end all are 0 */
struct fuzz_input {
    const uint8_t *at, *end;
};

uint8_t fuzz_byte(struct fuzz_input *in);
uint64_t fuzz_number(struct fuzz_input *in, int bytes); /* little endian */
void fuzz_bytes(struct fuzz_input *in, void *to, size_t bytes);

#endif
