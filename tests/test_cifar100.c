/* CIFAR-100: which label byte is taken, which names it has, and what is refused in either byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/options.h"
#include "data_loader/data_loader.h"
#include "tests/death_test.h"
#include "tests/own_folder.h"

enum { RECORDS = 10000, IMAGE = 3072, RECORD = 2 + IMAGE };

static void write_test_file(void)
{
    uint8_t *bytes = xcalloc(RECORDS, RECORD);
    for (int i = 0; i < RECORDS; i++) {
        uint8_t *record = bytes + (size_t)i * RECORD;
        record[0] = (uint8_t)(i * 3 % 20);
        record[1] = (uint8_t)(i * 7 % 100);
        memset(record + 2, i % 256, IMAGE);
    }
    FILE *file = fopen("test.bin", "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, RECORD, RECORDS, file), RECORDS);
    assert_int_equal(fclose(file), 0);
    xfree(bytes);
}

static void put(off_t at, uint8_t byte)
{
    int file = open("test.bin", O_WRONLY);
    assert_int_equal(pwrite(file, &byte, 1, at), 1);
    close(file);
}

static void open_it(const void *own)
{
    dataset_close(dataset_open(
        &(struct dataset_options){.name = "cifar100", .folder = ".", .limit = 5, .own = own}));
}

static void both_labels_are_read(void **state)
{
    (void)state;
    char program[] = "test", option[] = "--cifar100-labels=coarse", *argv[] = {program, option};
    const struct option_set *set = dataset_option_set("cifar100", "."), *sets[] = {set, NULL};
    for (int coarse = 0; coarse < 2; coarse++) {
        struct options o;
        options_parse(&o, sets, 1 + coarse, argv, NULL);
        struct dataset *d = dataset_open(&(struct dataset_options){
            .name = "cifar100", .folder = ".", .own = options_of(&o, set)});
        assert_int_equal(d->count, RECORDS);
        assert_int_equal(d->classes, coarse ? 20 : 100);
        assert_string_equal(d->class_names[d->classes - 1], coarse ? "vehicles_2" : "worm");
        assert_non_null(strstr(d->source, coarse ? "coarse labels" : "fine labels"));
        for (int i = 0; i < RECORDS; i += 37) {
            assert_int_equal(d->labels[i], coarse ? i * 3 % 20 : i * 7 % 100);
            assert_int_equal(d->pixels[(size_t)i * IMAGE + 3000], i % 256);
        }
        dataset_close(d);
        options_close(&o);
    }
}

static void wrong_files_are_named(void **state)
{
    (void)state;
    static const struct {
        off_t at;
        uint8_t bad, good;
        const char *expected, *found;
    } cases[] = {
        {(off_t)RECORD * 9999, 20, 9999 * 3 % 20, "labels 0 to 19", "20 in record 9999"},
        {(off_t)RECORD * 4 + 1, 100, 28, "labels 0 to 99", "100 in record 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put(cases[i].at, cases[i].bad);
        assert_dies(EXIT_USER, open_it, NULL,
                    (const char *const[]){"./test.bin: ", cases[i].expected, cases[i].found,
                                          "data_loader/fetch cifar100", NULL});
        put(cases[i].at, cases[i].good);
    }
    open_it(NULL);
    for (off_t i = 0; i < RECORDS; i++)
        if (i * 7 % 100 == 63)
            put(i * RECORD + 1, 0);
    assert_dies(EXIT_USER, open_it, NULL,
                (const char *const[]){"images of all 100 classes", "none of class 63", NULL});
    assert_int_equal(truncate("test.bin", (off_t)RECORDS * RECORD - 1), 0);
    assert_dies(EXIT_USER, open_it, NULL,
                (const char *const[]){"30,740,000 bytes expected, 30,739,999 found", NULL});
}

static int enter(void **state)
{
    own_folder_enter(state);
    write_test_file();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_labels_are_read),
        cmocka_unit_test(wrong_files_are_named),
    };
    return cmocka_run_group_tests(tests, enter, own_folder_leave);
}
