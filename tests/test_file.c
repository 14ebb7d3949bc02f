/* Files written whole: the old one or the new one, its permissions, links, and what is never
 * replaced. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/death_test.h"

struct place {
    char before[4096], folder[64];
};

/* Each test works in an empty folder of its own. */
static int enter(void **state)
{
    struct place *p = *state = calloc(1, sizeof *p);
    strcpy(p->folder, "/tmp/nbsgd-test-file-XXXXXX");
    return getcwd(p->before, sizeof p->before) && mkdtemp(p->folder) && !chdir(p->folder) ? 0 : 1;
}

static int leave(void **state)
{
    struct place *p = *state;
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", p->folder);
    int failed = chdir(p->before) || system(command);
    free(p);
    return failed;
}

static bool write_text(FILE *file, void *text)
{
    return fputs(text, file) >= 0;
}

static bool refuse(FILE *file, void *error)
{
    fputs("a beginning", file);
    errno = *(int *)error;
    return false;
}

static bool write_much(FILE *file, void *self)
{
    (void)self;
    for (int i = 0; i < 100000; i++)
        if (fputs("0123456789", file) < 0)
            return false;
    return true;
}

static void assert_holds(const char *path, const char *text)
{
    char found[100] = "";
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    found[fread(found, 1, sizeof found - 1, f)] = 0;
    fclose(f);
    assert_string_equal(found, text);
}

static int files_here(void)
{
    int files = -2; /* . and .. */
    DIR *d = opendir(".");
    while (readdir(d))
        files++;
    closedir(d);
    return files;
}

static mode_t mode_of(const char *path)
{
    struct stat s;
    assert_int_equal(stat(path, &s), 0);
    return s.st_mode & 07777;
}

static void new_and_old_files(void **state)
{
    (void)state;
    mode_t mask = umask(027);
    assert_true(file_write_whole("a", write_text, "first"));
    assert_holds("a", "first");
    assert_int_equal(mode_of("a"), 0640);
    assert_int_equal(chmod("a", 0604), 0);
    assert_int_equal(link("a", "same"), 0);
    assert_true(file_write_whole("./a", write_text, "second"));
    assert_holds("a", "second");
    assert_holds("same", "first"); /* another file took the name */
    assert_int_equal(mode_of("a"), 0604);
    assert_int_equal(files_here(), 2);
    umask(mask);
}

static void links_are_followed(void **state)
{
    (void)state;
    struct stat s;
    assert_int_equal(mkdir("far", 0755), 0);
    assert_true(file_write_whole("far/file", write_text, "first"));
    assert_int_equal(symlink("far/file", "near"), 0);
    assert_int_equal(symlink("nothing", "broken"), 0);
    assert_true(file_write_whole("near", write_text, "second"));
    assert_int_equal(lstat("near", &s), 0);
    assert_true(S_ISLNK(s.st_mode));
    assert_holds("far/file", "second");
    assert_false(file_write_whole("broken", write_text, "text"));
    assert_int_equal(errno, ENOENT);
    assert_int_equal(files_here(), 3);
}

static void only_plain_files_are_replaced(void **state)
{
    (void)state;
    assert_int_equal(mkdir("folder", 0755), 0);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_int_equal(symlink("/dev/null", "device"), 0);
    assert_false(file_write_whole("folder", write_text, "text"));
    assert_int_equal(errno, EISDIR);
    const char *const others[] = {"fifo", "device", "/dev/null"};
    for (int i = 0; i < 3; i++) {
        assert_false(file_write_whole(others[i], write_text, "text"));
        assert_int_equal(errno, EOPNOTSUPP);
    }
    assert_false(file_write_whole("none/file", write_text, "text"));
    assert_int_equal(errno, ENOENT);
    assert_int_equal(files_here(), 3);
}

static void meets_a_limit(const void *argument)
{
    (void)argument;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(!setrlimit(RLIMIT_FSIZE, &(struct rlimit){5000, 5000}), "no limit");
    CHECK(!file_write_whole("a", write_much, NULL) && errno == EFBIG, "written, or %s",
          strerror(errno));
}

static void a_failure_leaves_the_old_file(void **state)
{
    (void)state;
    int error = EDQUOT, none = 0;
    assert_true(file_write_whole("a", write_text, "first"));
    assert_false(file_write_whole("a", refuse, &error));
    assert_int_equal(errno, EDQUOT);
    assert_false(file_write_whole("a", refuse, &none));
    assert_int_equal(errno, EIO);
    assert_dies(0, meets_a_limit, NULL, NULL);
    assert_holds("a", "first");
    assert_int_equal(files_here(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(new_and_old_files, enter, leave),
        cmocka_unit_test_setup_teardown(links_are_followed, enter, leave),
        cmocka_unit_test_setup_teardown(only_plain_files_are_replaced, enter, leave),
        cmocka_unit_test_setup_teardown(a_failure_leaves_the_old_file, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
