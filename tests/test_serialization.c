/* Weight files: what is written, what is read back, and what no byte of garbage may do. Files that
 * others wrote are in test_serialization_foreign.c, random changes in tests/fuzz/safetensors.c. */
#define _GNU_SOURCE
#include "serialization/serialization.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/json_reader.h"
#include "base/random.h"
#include "tests/death_test.h"
#include "tests/small_weights.h"

enum { FLOATS = SMALL_FLOATS, STATISTICS = SMALL_STATISTICS };

/* Strings of every length around the room for them; nothing is written beyond it. */
static void test_json_strings(void **state)
{
    (void)state;
    static const struct {
        const char *text, *decoded;
    } cases[] = {{"\"\"", ""},
                 {"\"abc\"", "abc"},
                 {"\"abcd\"", ""},
                 {"\"abcde\"", ""},
                 {"\"a\\nb\"", "a\nb"},
                 {"\"\\u20AC\"", "\xe2\x82\xac"},
                 {"\"\\ud83D\\uDE00\"", ""},
                 {"\"\\u00e9a\"", "\xc3\xa9"
                                  "a"},
                 {"\"\\u0000\"", ""},
                 {" \t\"\\/\\\"\"", "/\""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[8], why[100];
        memset(text, '#', sizeof text);
        const uint8_t *bytes = (const uint8_t *)cases[i].text;
        struct json j = {.begin = bytes,
                         .at = bytes,
                         .end = bytes + strlen(cases[i].text),
                         .why = why,
                         .why_size = sizeof why};
        assert_true(json_string(&j, text, 4) && json_ended(&j));
        assert_string_equal(text, cases[i].decoded);
        assert_memory_equal(text + 4, "####", 4);
    }
}

/* A small network's weights, a folder for its file, and the file's bytes. */
struct small {
    struct model a;
    float w[FLOATS], statistics[STATISTICS];
    char folder[64], path[80];
    uint8_t *bytes;
    size_t size;
};

static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    uint8_t *bytes = malloc(*size ? *size : 1);
    assert_int_equal(fread(bytes, 1, *size, f), *size);
    fclose(f);
    return bytes;
}

static int set_up(void **state)
{
    struct small *s = xcalloc(1, sizeof *s);
    small_model(&s->a);
    assert_int_equal(model_parameters(&s->a), FLOATS);
    assert_int_equal(model_statistics(&s->a), STATISTICS);
    struct random r = random_at(RANDOM_TEST, 200, 0, 0, 0);
    for (int i = 0; i < FLOATS; i++)
        s->w[i] = (float)random_normal(&r);
    for (int i = 0; i < STATISTICS; i++)
        s->statistics[i] = (float)random_uniform(&r);
    const char *where = getenv("TMPDIR");
    snprintf(s->folder, sizeof s->folder, "%.40s/nbsgd-XXXXXX", where && *where ? where : "/tmp");
    assert_non_null(mkdtemp(s->folder));
    snprintf(s->path, sizeof s->path, "%s/w.safetensors", s->folder);
    assert_true(model_save(&(struct weights_target){.path = s->path}, &s->a, s->w, s->statistics));
    s->bytes = read_file(s->path, &s->size);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct small *s = *state;
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", s->folder);
    assert_int_equal(system(command), 0);
    free(s->bytes);
    xfree(s);
    return 0;
}

/* The header as PyTorch's order and the format's page want it, written by hand. */
static const char by_hand[] =
    "{\"__metadata__\":{\"format\":\"pt\"}"
    ",\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[3,2,3,3],\"data_offsets\":[8,224]}"
    ",\"bn1.weight\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[224,236]}"
    ",\"bn1.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[236,248]}"
    ",\"bn1.running_mean\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[248,260]}"
    ",\"bn1.running_var\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[260,272]}"
    ",\"bn1.num_batches_tracked\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}"
    ",\"layer1.0.conv1.weight\":{\"dtype\":\"F32\",\"shape\":[4,3,1,1],\"data_offsets\":[272,320]}"
    ",\"fc.weight\":{\"dtype\":\"F32\",\"shape\":[5,4],\"data_offsets\":[320,400]}"
    ",\"fc.bias\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[400,420]}}";

static void test_written(void **state)
{
    struct small *s = *state;
    uint64_t length;
    memcpy(&length, s->bytes, 8);
    assert_int_equal(length % 8, 0);
    assert_true(length >= strlen(by_hand) && length < strlen(by_hand) + 8);
    assert_memory_equal(s->bytes + 8, by_hand, strlen(by_hand));
    for (size_t i = strlen(by_hand); i < length; i++)
        assert_int_equal(s->bytes[8 + i], ' ');
    assert_int_equal(s->size, 8 + length + 420);
    const uint8_t *data = s->bytes + 8 + length;
    int64_t tracked = 1;
    memcpy(&tracked, data, 8);
    assert_int_equal(tracked, 0);
    for (int out = 0; out < 3; out++)
        for (int in = 0; in < 2; in++)
            for (int tap = 0; tap < 9; tap++)
                assert_memory_equal(data + 8 + 4 * ((out * 2 + in) * 9 + tap),
                                    &s->w[(out * 9 + tap) * 2 + in], 4);
    assert_memory_equal(data + 224, s->w + 54, 24);
    assert_memory_equal(data + 248, s->statistics, 24);
    assert_memory_equal(data + 272, s->w + 60, 37 * 4);
}

static void test_round_trip(void **state)
{
    struct small *s = *state;
    float w[FLOATS] = {0}, statistics[STATISTICS] = {0};
    bool has = false;
    model_load(s->path, &s->a, w, statistics, &has);
    assert_true(has);
    assert_memory_equal(w, s->w, sizeof w);
    assert_memory_equal(statistics, s->statistics, sizeof statistics);
    memset(w, 0, sizeof w);
    model_load(s->path, &s->a, w, NULL, &has); /* statistics are there, but not asked for */
    assert_false(has);
    assert_memory_equal(w, s->w, sizeof w);
    model_load(s->path, &s->a, w, NULL, NULL);

    char plain[100];
    snprintf(plain, sizeof plain, "%s/plain.safetensors", s->folder);
    assert_true(model_save(&(struct weights_target){.path = plain}, &s->a, s->w, NULL));
    memset(w, 0, sizeof w);
    memset(statistics, 0, sizeof statistics);
    has = true;
    model_load(plain, &s->a, w, statistics, &has);
    assert_false(has);
    assert_memory_equal(w, s->w, sizeof w);
    for (int i = 0; i < STATISTICS; i++)
        assert_true(statistics[i] == 0);
}

/* The complaint about these bytes, which end where a page ends that must not be touched. */
static const char *complaint_at_edge(const uint8_t *bytes, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (size + page - 1) / page * page;
    uint8_t *there =
        mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(there != MAP_FAILED);
    mprotect(there + room, page, PROT_NONE);
    memcpy(there + room - size, bytes, size);
    bool loaded;
    const char *complaint = small_complaint(there + room - size, size, &loaded);
    munmap(there, room + page);
    return complaint;
}

static void test_truncated(void **state)
{
    struct small *s = *state;
    float w[FLOATS], statistics[STATISTICS];
    char why[200];
    bool has;
    assert_null(small_parse(s->bytes, s->size, &s->a, w, statistics, &has, why, sizeof why));
    for (size_t size = 0; size < s->size; size++) {
        const char *complaint = complaint_at_edge(s->bytes, size);
        if (complaint)
            fail_msg("the first %zu bytes: %s", size, complaint);
        if (!small_parse(s->bytes, size, &s->a, w, statistics, &has, why, sizeof why))
            fail_msg("the first %zu of %zu bytes were taken for the whole", size, s->size);
    }
}

/* Headers that end anywhere, with nothing after them. */
static void test_cut_headers(void **state)
{
    (void)state;
    static const char text[] =
        "{\"__metadata__\":{\"\\u00e9\\ud83d\\ude00\\n\":\"\"}"
        ",\"a\":{\"dtype\":\"BF16\",\"shape\":[0,12],\"data_offsets\":[0,0]}}";
    uint8_t bytes[8 + sizeof text];
    memcpy(bytes + 8, text, sizeof text);
    for (uint64_t length = 0; length < sizeof text; length++) {
        memcpy(bytes, &length, 8);
        const char *complaint = complaint_at_edge(bytes, 8 + length);
        if (complaint)
            fail_msg("%.*s: %s", (int)length, text, complaint);
    }
}

static void loads(const void *path)
{
    static struct model a;
    float w[FLOATS], statistics[STATISTICS];
    bool has;
    small_model(&a);
    model_load(path, &a, w, statistics, &has);
}

static void test_load_is_fatal(void **state)
{
    struct small *s = *state;
    char path[120];
    snprintf(path, sizeof path, "%s/none", s->folder);
    assert_dies(EXIT_USER, loads, path, (const char *const[]){path, "No such file", "small", NULL});
    assert_dies(EXIT_USER, loads, s->folder, (const char *const[]){s->folder, "no file", NULL});
    static const size_t sizes[] = {1, 7, 100, 1000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(s->bytes, 1, sizes[i], f), sizes[i]);
        fclose(f);
        assert_dies(EXIT_USER, loads, path, (const char *const[]){path, "truncated", NULL});
    }
    assert_dies(0, loads, s->path, NULL);
}

static void saves_too_much(const void *small)
{
    const struct small *s = small;
    const struct rlimit limit = {600, 600};
    signal(SIGXFSZ, SIG_IGN);
    CHECK(!setrlimit(RLIMIT_FSIZE, &limit), "no limit");
    static const float others[FLOATS];
    CHECK(!model_save(&(struct weights_target){.path = s->path}, &s->a, others, NULL) &&
              errno == EFBIG,
          "saved, or %s", strerror(errno));
}

static int files_in(const char *folder)
{
    int files = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    while (readdir(d))
        files++;
    closedir(d);
    return files;
}

static void test_save_fails(void **state)
{
    struct small *s = *state;
    char path[120];
    int files = files_in(s->folder);
    snprintf(path, sizeof path, "%s/none/w", s->folder);
    assert_false(model_save(&(struct weights_target){.path = path}, &s->a, s->w, NULL));
    assert_int_equal(errno, ENOENT);
    /* as on a full disk: the old file stays as it is, nothing is left beside it */
    assert_dies(0, saves_too_much, s, NULL);
    size_t size;
    uint8_t *bytes = read_file(s->path, &size);
    assert_int_equal(size, s->size);
    assert_memory_equal(bytes, s->bytes, size);
    free(bytes);
    assert_int_equal(files_in(s->folder), files);
    assert_int_equal(chmod(s->folder, 0500), 0); /* and where nothing can be written beside it */
    if (access(s->folder, W_OK)) {               /* else: root may */
        assert_false(model_save(&(struct weights_target){.path = s->path}, &s->a, s->w, NULL));
        assert_int_equal(errno, EACCES);
    }
    assert_int_equal(chmod(s->folder, 0700), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_strings),
        cmocka_unit_test_setup_teardown(test_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_truncated, set_up, tear_down),
        cmocka_unit_test(test_cut_headers),
        cmocka_unit_test_setup_teardown(test_load_is_fatal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_save_fails, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
