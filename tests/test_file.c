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
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/death_test.h"
#include "tests/own_folder.h"

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

/* What root can give away stays another's. */
static void the_owner_stays(void **state)
{
    (void)state;
    struct stat s;
    if (geteuid()) {
        skip();
        return;
    }
    assert_true(file_write_whole("a", write_text, "first"));
    assert_int_equal(chown("a", 12345, 23456), 0);
    assert_int_equal(chmod("a", 04640), 0);
    assert_true(file_write_whole("a", write_text, "second"));
    assert_int_equal(stat("a", &s), 0);
    assert_int_equal(s.st_uid, 12345);
    assert_int_equal(s.st_gid, 23456);
    assert_int_equal(mode_of("a"), 04640);
}

static void a_name_may_be_as_long_as_any(void **state)
{
    (void)state;
    char name[256];
    memset(name, 'n', 255);
    name[255] = 0;
    assert_true(file_try(name));
    assert_true(file_write_whole(name, write_text, "text"));
    assert_holds(name, "text");
    assert_int_equal(files_here(), 1);
}

static void a_new_file_replaces_nothing(void **state)
{
    (void)state;
    assert_true(file_write_new("a", write_text, "first"));
    assert_false(file_write_new("a", write_text, "second"));
    assert_int_equal(errno, EEXIST);
    assert_holds("a", "first");
    assert_int_equal(files_here(), 1);
}

static void a_try_leaves_nothing(void **state)
{
    (void)state;
    assert_true(file_try("a"));
    assert_int_equal(files_here(), 0);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_false(file_try("fifo"));
    assert_int_equal(errno, EOPNOTSUPP);
    assert_false(file_try("none/a"));
    assert_int_equal(errno, ENOENT);
}

static void begins_again(const void *unused)
{
    (void)unused;
    CHECK(!file_begin("a", true) && errno == EBUSY, "begun, or %s", strerror(errno));
}

static void what_is_written_as_it_comes_is_one_programs(void **state)
{
    (void)state;
    FILE *f = file_begin("a", false);
    assert_non_null(f);
    assert_dies(0, begins_again, NULL, NULL);
    fputs("first", f);
    fclose(f);
    assert_null(file_begin("a", false));
    assert_int_equal(errno, EEXIST);
    assert_holds("a", "first");
    f = file_begin("a", true);
    assert_non_null(f);
    fclose(f);
    assert_holds("a", "");
    f = file_begin("a", false); /* nothing is lost */
    assert_non_null(f);
    fclose(f);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_null(file_begin("fifo", true)); /* no wait for a reader */
    assert_int_equal(symlink("/dev/full", "full"), 0);
    f = file_begin("full", false);
    assert_non_null(f);
    fputs("text", f);
    assert_int_equal(fclose(f), EOF);
    assert_int_equal(errno, ENOSPC);
}

/* The fourth row or file of results and the one after it find no room. The second file of weights
 * is torn, the first has a bit flipped. */
static void a_disk_does_what_it_was_told_to(void **state)
{
    (void)state;
    struct disk_fault list[] = {{DISK_ROWS, 4, 2, DISK_FULL, false},
                                {DISK_WEIGHTS, 2, 1, DISK_TORN, false},
                                {DISK_WEIGHTS, 1, 1, DISK_FLIPPED, false},
                                {DISK_CHECKPOINT, 9, 1, DISK_FULL, false}};
    struct disk *d = disk_open(list, 4);
    const struct file_place rows = {d, DISK_ROWS}, weights = {d, DISK_WEIGHTS};
    for (int i = 1; i <= 6; i++) {
        char text[] = "0123456789", path[] = "row0";
        path[3] = (char)('0' + i);
        bool full = i == 4 || i == 5;
        assert_int_equal(file_write_on(rows, path, false, write_text, text), !full);
        assert_true(!full || errno == ENOSPC);
        assert_int_equal(access(path, F_OK), full ? -1 : 0);
    }
    assert_int_equal(files_here(), 4);
    assert_true(file_write_on(weights, "flipped", true, write_text, "0123456789"));
    assert_true(file_write_on(weights, "torn", false, write_text, "0123456789"));
    assert_true(file_write_on(weights, "whole", false, write_text, "0123456789"));
    assert_holds("flipped", "0123446789"); /* '5' ^ 1 */
    assert_holds("torn", "01234");
    assert_holds("whole", "0123456789");
    assert_true(list[0].struck && list[1].struck && list[2].struck && !list[3].struck);
    disk_close(d);

    FILE *file = file_begin("as it comes", false); /* of what came last, one half */
    assert_non_null(file);
    struct disk_fault last = {DISK_ROWS, 1, 1, DISK_TORN, false};
    d = disk_open(&last, 1);
    assert_true(fputs("first\n", file) >= 0 && !fflush(file));
    assert_true(fputs("later\n", file) >= 0 && !fflush(file));
    assert_true(disk_wrote(d, DISK_ROWS, fileno(file), 6));
    assert_holds("as it comes", "first\nlat");
    fclose(file);
    disk_close(d);
}

static void on_alarm(int signal)
{
    (void)signal;
}

/* Of a pipe that nobody writes into. */
static void no_pipe_is_waited_for(void **state)
{
    (void)state;
    struct sigaction heard = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    char text[10] = "";
    assert_false(mkfifo("pipe", 0600));
    FILE *f = file_open("pipe");
    assert_non_null(f);
    assert_int_equal(fread(text, 1, sizeof text, f), 0);
    fclose(f);
    assert_false(sigaction(SIGALRM, &heard, NULL));
    const struct itimerval often = {{1, 0}, {1, 0}}, never = {{0, 0}, {0, 0}};
    assert_false(setitimer(ITIMER_REAL, &often, NULL));
    assert_null(file_open_text("pipe"));
    assert_int_equal(errno, EINTR);
    assert_false(setitimer(ITIMER_REAL, &never, NULL));
    pid_t child = fork();
    if (!child) {
        sleep(1); /* it comes late */
        f = fopen("pipe", "w");
        _exit(!f || fputs("a text", f) < 0 || fclose(f));
    }
    f = file_open_text("pipe");
    assert_non_null(f);
    assert_int_equal(fread(text, 1, sizeof text, f), 6);
    assert_string_equal(text, "a text");
    fclose(f);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_null(file_open("gone"));
    assert_int_equal(errno, ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_pipe_is_waited_for, own_folder_enter, own_folder_leave),
        cmocka_unit_test_setup_teardown(new_and_old_files, own_folder_enter, own_folder_leave),
        cmocka_unit_test_setup_teardown(links_are_followed, own_folder_enter, own_folder_leave),
        cmocka_unit_test_setup_teardown(only_plain_files_are_replaced, own_folder_enter,
                                        own_folder_leave),
        cmocka_unit_test_setup_teardown(a_failure_leaves_the_old_file, own_folder_enter,
                                        own_folder_leave),
        cmocka_unit_test_setup_teardown(the_owner_stays, own_folder_enter, own_folder_leave),
        cmocka_unit_test_setup_teardown(a_name_may_be_as_long_as_any, own_folder_enter,
                                        own_folder_leave),
        cmocka_unit_test_setup_teardown(a_new_file_replaces_nothing, own_folder_enter,
                                        own_folder_leave),
        cmocka_unit_test_setup_teardown(a_disk_does_what_it_was_told_to, own_folder_enter,
                                        own_folder_leave),
        cmocka_unit_test_setup_teardown(a_try_leaves_nothing, own_folder_enter, own_folder_leave),
        cmocka_unit_test_setup_teardown(what_is_written_as_it_comes_is_one_programs,
                                        own_folder_enter, own_folder_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
