/* What a crash, a full disk or a failing one leaves of a file that is written whole: at every
 * system call of the write, the old file or the new one, whole; and it is said. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/file.h"
#include "tests/faulty_files.h"

enum { BYTES = 20000, UNAVAILABLE = 99, MOST_CALLS = 60 };

struct outcome {
    int code; /* of the process; 128 + the signal that ended it */
    int64_t calls;
};

struct shared { /* with the child */
    int64_t calls;
};

static struct shared *shared;
static char folder[] = "/tmp/nbsgd-test-crash-XXXXXX";

static int enter(void **state)
{
    (void)state;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED || !mkdtemp(folder) || chdir(folder);
}

static int leave(void **state)
{
    char command[100];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return chdir("/") || system(command);
}

/* A file is one letter, BYTES times, and says so: one that holds anything else is torn. */
static bool write_letters(FILE *file, void *self)
{
    char letter = *(const char *)self;
    for (int i = 0; i < BYTES; i++)
        if (putc(letter, file) == EOF)
            return false;
    return true;
}

/* The letter of a whole file; 0: it is torn, or there is none. */
static char letter_of(const char *path)
{
    char text[BYTES + 1];
    FILE *f = fopen(path, "r");
    size_t bytes = f ? fread(text, 1, sizeof text, f) : 0;
    if (f)
        fclose(f);
    for (size_t i = 0; i < bytes; i++)
        if (text[i] != *text)
            return 0;
    return bytes == BYTES ? *text : 0;
}

/* Writes the file whole in a child to which this happens; its exit code is errno, 0: written. */
static struct outcome write_under(enum faulty_kind kind, int64_t at, char letter)
{
    int status;
    shared->calls = 0;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        if (!faulty_begin(kind, "kept", at, &shared->calls))
            _exit(UNAVAILABLE);
        bool done = file_write_whole("kept", write_letters, &letter);
        _exit(done ? 0 : errno ? errno : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return (struct outcome){WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
                            shared->calls};
}

/* The calls that a write takes; skips the test where they cannot be caught. */
static int64_t count_calls(void)
{
    struct outcome o = write_under(FAULTY_NONE, 0, 'a');
    if (o.code == UNAVAILABLE) {
        print_message("SKIPPED: this kernel lets nobody catch system calls\n");
        skip();
    }
    assert_int_equal(o.code, 0);
    assert_in_range(o.calls, 4, MOST_CALLS); /* create, write, sync, rename at the least */
    assert_int_equal(letter_of("kept"), 'a');
    return o.calls;
}

static void a_process_that_is_killed_leaves_the_old_file_or_the_new_one(void **state)
{
    (void)state;
    static const enum faulty_kind kinds[] = {FAULTY_KILL, FAULTY_TORN, FAULTY_POWER};
    const int64_t calls = count_calls();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        int kept[2] = {0}; /* the old one, the new one */
        for (int64_t at = 1; at <= calls; at++) {
            assert_int_equal(write_under(FAULTY_NONE, 0, 'a').code, 0);
            struct outcome o = write_under(kinds[i], at, 'b');
            char found = letter_of("kept");
            assert_int_equal(o.code, 128 + SIGKILL);
            if (found != 'a' && found != 'b')
                fail_msg("kind %d at call %lld of %lld: the file is torn", kinds[i], (long long)at,
                         (long long)calls);
            kept[found == 'b']++;
        }
        assert_true(kept[0] >= 3); /* all before the rename; a write in place would keep none */
    }
}

/* A failure is said, with its cause, and the old file stays. */
static void a_disk_that_fails_is_said(void **state)
{
    (void)state;
    const int64_t calls = count_calls();
    int failed[2] = {0};
    for (int full = 0; full < 2; full++)
        for (int64_t at = 1; at <= calls; at++) {
            assert_int_equal(write_under(FAULTY_NONE, 0, 'a').code, 0);
            struct outcome o = write_under(full ? FAULTY_FULL : FAULTY_EIO, at, 'b');
            char found = letter_of("kept");
            failed[full] += o.code != 0;
            if (found != (o.code ? 'a' : 'b') || (o.code && o.code != (full ? ENOSPC : EIO)))
                fail_msg("%s at call %lld of %lld: errno %d, the file holds '%c'",
                         full ? "full" : "EIO", (long long)at, (long long)calls, o.code,
                         found ? found : '?');
        }
    assert_true(failed[0] >= 3 && failed[1] >= 3);
}

/* The rest is written then. */
static void a_short_write_is_no_failure(void **state)
{
    (void)state;
    const int64_t calls = count_calls();
    for (int64_t at = 1; at <= calls; at++) {
        assert_int_equal(write_under(FAULTY_NONE, 0, 'a').code, 0);
        assert_int_equal(write_under(FAULTY_SHORT, at, 'b').code, 0);
        assert_int_equal(letter_of("kept"), 'b');
    }
}

/* --- what it catches: a write that is made wrongly, on purpose --- */

static char write_unsynced(enum faulty_kind kind, int64_t at)
{
    int status;
    assert_int_equal(write_under(FAULTY_NONE, 0, 'a').code, 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        if (!faulty_begin(kind, "kept", at, NULL))
            _exit(UNAVAILABLE);
        char letter = 'b';
        FILE *f = fopen("kept.part", "w");
        bool done = f && write_letters(f, &letter) && !fclose(f) && !rename("kept.part", "kept") &&
                    !unlink("kept.other");
        _exit(!done);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return letter_of("kept");
}

/* Renamed before it is synced: after a power cut neither file is there. */
static void a_power_cut_finds_what_was_not_synced(void **state)
{
    (void)state;
    int torn = 0;
    count_calls();
    for (int64_t at = 1; at <= MOST_CALLS && !torn; at++)
        torn += write_unsynced(FAULTY_POWER, at) == 0;
    assert_int_equal(torn, 1);
}

static void a_flipped_bit_is_seen(void **state)
{
    (void)state;
    int torn = 0;
    const int64_t calls = count_calls();
    for (int64_t at = 1; at <= calls; at++) {
        assert_int_equal(write_under(FAULTY_FLIP, at, 'b').code, 0);
        torn += letter_of("kept") == 0;
    }
    assert_true(torn > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_that_is_killed_leaves_the_old_file_or_the_new_one),
        cmocka_unit_test(a_disk_that_fails_is_said),
        cmocka_unit_test(a_short_write_is_no_failure),
        cmocka_unit_test(a_power_cut_finds_what_was_not_synced),
        cmocka_unit_test(a_flipped_bit_is_seen),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
