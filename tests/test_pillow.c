/* What Pillow makes of image files, pixel by pixel (reference/images.py): of those that it writes
 * here, and of real ones in the folder $IMAGES, where that is set. Skipped without Pillow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "bitmap/bitmap.h"
#include "tests/own_folder.h"

enum { FILE_MOST = 1 << 24 };

struct comparison {
    struct bitmap_reader *reader;
    uint8_t *file, *wanted;
    int cases, exact, most; /* most: levels that a pixel is off */
};

static size_t read_file(const char *path, uint8_t *to)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t count = fread(to, 1, FILE_MOST, f);
    fclose(f);
    return count;
}

static struct bitmap_view view_of(const char *kind, const int *n, int width, int height)
{
    if (!strcmp(kind, "centre"))
        return bitmap_view_centre(width, height, n[0], n[1]);
    return (struct bitmap_view){.box = {n[0], n[1], n[2], n[3]},
                                .width = n[4],
                                .height = n[5],
                                .window = {0, 0, n[4], n[5]}};
}

static void compare(struct comparison *c, int number, const char *path, const char *kind,
                    const int *n)
{
    char wanted[40];
    int width, height, off = 0;
    if (!bitmap_begin(c->reader, c->file, read_file(path, c->file), &width, &height))
        fail_msg("%s: %s", path, bitmap_error(c->reader));
    const struct bitmap_view view = view_of(kind, n, width, height);
    size_t pixels = (size_t)view.window.width * (size_t)view.window.height;
    snprintf(wanted, sizeof wanted, "%d.rgb", number);
    assert_int_equal(read_file(wanted, c->wanted), 3 * pixels);
    uint8_t *out = xcalloc(pixels, 4);
    if (!bitmap_render(c->reader, &view, false, out))
        fail_msg("%s: %s", path, bitmap_error(c->reader));
    for (size_t i = 0; i < 3 * pixels; i++) {
        int d = abs(out[i / 3 * 4 + i % 3] - c->wanted[i]);
        off = d > off ? d : off;
    }
    xfree(out);
    if (off > 1)
        fail_msg("case %d, %s, %s %d %d %d %d %d %d: %d levels off", number, path, kind, n[0], n[1],
                 n[2], n[3], n[4], n[5], off);
    c->cases++;
    c->exact += !off;
    c->most = off > c->most ? off : c->most;
}

static void pixels_are_pillows(void **state)
{
    (void)state;
    char command[1000], text[100];
    const char *python = getenv("PYTHON");
    if (!strstr(bitmap_formats(text, sizeof text), "JPEG, PNG")) {
        printf("SKIPPED: Pillow's pixels: built without JPEG or PNG\n");
        skip();
    }
    snprintf(command, sizeof command,
             "%s \"$SCRIPT\" . $([ -z \"$IMAGES\" ] || find \"$IMAGES\" -type f -size +1k | sort | "
             "head -n 200)",
             python && *python ? python : "/usr/bin/python3");
    int status = system(command);
    if (WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 127)) {
        printf("SKIPPED: Pillow's pixels: no python3-pil here\n");
        skip();
    }
    assert_int_equal(status, 0);
    struct comparison c = {.reader = bitmap_reader_open(),
                           .file = xcalloc(FILE_MOST, 1),
                           .wanted = xcalloc(FILE_MOST, 1)};
    FILE *cases = fopen("cases.txt", "r");
    assert_non_null(cases);
    char path[600], kind[20];
    int number, n[6];
    while (fscanf(cases, "%d %599s %19s %d %d", &number, path, kind, n, n + 1) == 5) {
        if (!strcmp(kind, "box"))
            assert_int_equal(fscanf(cases, "%d %d %d %d", n + 2, n + 3, n + 4, n + 5), 4);
        compare(&c, number, path, kind, n);
    }
    fclose(cases);
    printf("%d of %d views have Pillow's pixels, the others are %d level off at most\n", c.exact,
           c.cases, c.most);
    assert_true(c.cases >= 84);
    bitmap_reader_close(c.reader);
    xfree(c.file);
    xfree(c.wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pixels_are_pillows, own_folder_enter, own_folder_leave),
    };
    char script[4096];
    if (!realpath("tests/reference/images.py", script) || setenv("SCRIPT", script, 1))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
