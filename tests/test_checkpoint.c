/* Checkpoints on the disk: what was written is read again, bit for bit, and nothing else is: torn,
 * shortened at every byte, with a bit turned at every byte, with a file missing, with a manifest of
 * any content. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "checkpoint/private.h"

enum { RANKS = 2, FLOATS = 5, WHY = 600, PATH = 4096 };

struct state { /* of a rank of the test */
    float weights[FLOATS];
    double seconds;
    int64_t next;
    uint8_t blob[3];
};

struct folder {
    char path[64];
};

static int make_folder(void **state)
{
    struct folder *f = xcalloc(1, sizeof *f);
    /* files are written by the thousand: in memory, where there is such a folder */
    snprintf(f->path, sizeof f->path, "%s/checkpoint-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    assert_non_null(mkdtemp(f->path));
    *state = f;
    return 0;
}

static int remove_folder(void **state)
{
    struct folder *f = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", f->path);
    int code = system(command);
    xfree(f);
    return code;
}

static struct state state_of(int rank, int64_t samples)
{
    struct state s = {
        .seconds = 0.1 * (double)samples, .next = samples + rank, .blob = {1, 2, 255}};
    for (int i = 0; i < FLOATS; i++)
        s.weights[i] = (float)(rank * FLOATS + i) + 1 / (float)samples;
    return s;
}

static int list_state(struct state *s, struct kept list[4])
{
    list[0] = (struct kept){"blob", STATE_U8, s->blob, 3};
    list[1] = (struct kept){"weights", STATE_F32, s->weights, FLOATS};
    list[2] = (struct kept){"place/next", STATE_I64, &s->next, 1};
    list[3] = (struct kept){"seconds", STATE_F64, &s->seconds, 1};
    return 4;
}

/* As the problem does it: the weights as they are. */
static bool save_weights(void *self, const char *path, const float *w, const float *statistics)
{
    FILE *f = fopen(path, "wb");
    (void)self, (void)statistics;
    bool written = f && fwrite(w, sizeof *w, RANKS * FLOATS, f) == RANKS * FLOATS;
    return f && !fclose(f) && written;
}

static struct checkpoint_writer *writer(const struct folder *f, int rank, int64_t keep)
{
    return checkpoint_writer_open(
        &(struct checkpoint_writer_options){.folder = f->path,
                                            .rank = rank,
                                            .ranks = RANKS,
                                            .keep = keep,
                                            .floats = RANKS * FLOATS,
                                            .run = 7,
                                            .deadline_s = 0.3,
                                            .save_weights = save_weights});
}

static void cut(struct checkpoint_writer *w, int rank, int64_t number, int64_t samples)
{
    struct state s = state_of(rank, samples);
    struct kept list[4];
    checkpoint_write(w, number, samples, list, list_state(&s, list),
                     "{\"scheme\": \"ssgd\", \"options\": {\"lr\": \"0.1\", \"batch\": \"8\"}}\n");
    memset(&s, 0, sizeof s); /* the copy is the writer's */
}

static void await(const struct checkpoint_writer *w)
{
    while (checkpoint_writer_is_busy(w))
        usleep(1000);
}

/* Checkpoints at 10, 20, .. samples. */
static void write_some(const struct folder *f, int count, int64_t keep)
{
    struct checkpoint_writer *w[RANKS];
    for (int r = 0; r < RANKS; r++)
        w[r] = writer(f, r, keep);
    for (int i = 1; i <= count; i++) {
        for (int r = 0; r < RANKS; r++)
            cut(w[r], r, i, 10 * i);
        await(w[0]);
    }
    assert_int_equal(checkpoint_writer_written(w[0]), count);
    for (int r = 0; r < RANKS; r++) {
        assert_false(checkpoint_writer_failed(w[r]));
        checkpoint_writer_close(w[r]);
    }
}

/* The newest whole one; what was skipped, in said[]. */
static struct checkpoint *find(const struct folder *f, char *said, size_t size)
{
    memset(said, 0, size);
    FILE *to = fmemopen(said, size, "w");
    assert_non_null(to);
    struct checkpoint *c = checkpoint_find(f->path, to);
    fclose(to);
    return c;
}

static void assert_holds(const struct checkpoint *c, int64_t samples)
{
    char why[WHY];
    float all[RANKS * FLOATS];
    assert_non_null(c);
    assert_int_equal(checkpoint_ranks(c), RANKS);
    for (int r = 0; r < RANKS; r++) {
        struct state found = {.next = 0}, wanted = state_of(r, samples);
        struct kept list[4];
        for (int i = list_state(&found, list) - 1; i >= 0; i--)
            if (!checkpoint_load(c, r, &list[i], why, sizeof why))
                fail_msg("%s", why);
        assert_memory_equal(&found, &wanted, sizeof found);
    }
    assert_true(checkpoint_load_parts(c, "weights", all, RANKS * FLOATS));
    for (int r = 0; r < RANKS; r++)
        assert_memory_equal(all + r * FLOATS, state_of(r, samples).weights, FLOATS * sizeof *all);
}

/* And nothing else is there. */
static void assert_newest(const struct folder *f, int64_t samples)
{
    char said[1000];
    struct checkpoint *c = find(f, said, sizeof said);
    assert_holds(c, samples);
    assert_string_equal(said, "");
    checkpoint_close(c);
}

static void test_what_was_written_is_read(void **state)
{
    char said[1000], path[PATH];
    write_some(*state, 1, 3);
    assert_newest(*state, 10);
    struct checkpoint *c = find(*state, said, sizeof said);
    assert_string_equal(checkpoint_field(c, "samples"), "10");
    assert_string_equal(checkpoint_field(c, "scheme"), "ssgd");
    assert_string_equal(checkpoint_field(c, "options/lr"), "0.1");
    assert_string_equal(checkpoint_field(c, "files/rank-1.safetensors/numbers/place/next"), "11");
    assert_null(checkpoint_field(c, "options/rate"));
    const char *name, *value;
    assert_true(checkpoint_list(c, "options/", 1, &name, &value));
    assert_string_equal(name, "lr");
    assert_false(checkpoint_list(c, "options/", 2, &name, &value));
    checkpoint_close(c);
    snprintf(path, sizeof path, "%s/samples-000000000010/weights.safetensors",
             ((struct folder *)*state)->path);
    float all[RANKS * FLOATS];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(all, sizeof *all, RANKS * FLOATS, f), RANKS * FLOATS);
    fclose(f);
    assert_memory_equal(all + FLOATS, state_of(1, 10).weights, sizeof all / RANKS);
}

/* Another type, another count, another name, another rank. */
static void test_what_does_not_fit_is_not_read(void **state)
{
    char said[1000], why[WHY];
    int64_t two[2] = {0};
    double one = 0;
    write_some(*state, 1, 3);
    struct checkpoint *c = find(*state, said, sizeof said);
    const struct kept wrong[] = {{"place/next", STATE_I64, two, 2},
                                 {"place/next", STATE_F64, &one, 1},
                                 {"place/last", STATE_I64, two, 1}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(checkpoint_load(c, 0, &wrong[i], why, sizeof why));
        assert_non_null(strstr(why, wrong[i].name));
    }
    assert_false(
        checkpoint_load(c, RANKS, &(struct kept){"seconds", STATE_F64, &one, 1}, why, sizeof why));
    assert_int_equal(two[0] + two[1], 0);
    float all[RANKS * FLOATS + 1];
    assert_false(checkpoint_load_parts(c, "weights", all, RANKS * FLOATS + 1));
    checkpoint_close(c);
}

static void test_the_newest_stay(void **state)
{
    int count;
    struct folder *f = *state;
    write_some(f, 5, 2);
    int64_t *list = folder_list(f->path, &count);
    assert_int_equal(count, 2);
    assert_true(list[0] == 40 && list[1] == 50);
    free(list);
    assert_newest(f, 50);
    assert_true(checkpoint_folder_is_used(f->path));
}

struct content {
    char path[PATH];
    uint8_t *bytes;
    size_t size;
};

static const char *const files[] = {"manifest.json", "rank-0.safetensors", "rank-1.safetensors",
                                    "weights.safetensors"};
enum { FILES = sizeof files / sizeof *files };

static struct content read_content(const struct folder *f, const char *name)
{
    struct content c;
    snprintf(c.path, sizeof c.path, "%s/samples-000000000020/%s", f->path, name);
    FILE *file = fopen(c.path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    c.size = (size_t)ftell(file);
    rewind(file);
    c.bytes = xcalloc(c.size + 1, 1);
    assert_int_equal(fread(c.bytes, 1, c.size, file), c.size);
    fclose(file);
    return c;
}

static void write_content(const struct content *c, size_t size)
{
    FILE *file = fopen(c->path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(c->bytes, 1, size, file), size);
    fclose(file);
}

/* The one at 20 samples is broken: it is named with the reason, and the one before is taken. */
static void assert_is_skipped(const struct folder *f, const char *name)
{
    char said[2000];
    struct checkpoint *c = find(f, said, sizeof said);
    assert_non_null(c);
    assert_string_equal(checkpoint_field(c, "samples"), "10");
    if (!strstr(said, "samples-000000000020: its ") || !strstr(said, name))
        fail_msg("'%s' does not name %s", said, name);
    checkpoint_close(c);
}

static void test_torn_at_every_byte(void **state)
{
    struct folder *f = *state;
    write_some(f, 2, 3);
    for (int i = 0; i < FILES; i++) {
        struct content c = read_content(f, files[i]);
        for (size_t size = 0; size < c.size; size++) {
            write_content(&c, size);
            assert_is_skipped(f, i ? files[i] : "manifest");
        }
        unlink(c.path);
        assert_is_skipped(f, files[i]);
        write_content(&c, c.size);
        xfree(c.bytes);
    }
    assert_newest(f, 20);
}

static void test_a_bit_turned_at_every_byte(void **state)
{
    struct folder *f = *state;
    write_some(f, 2, 3);
    for (int i = 0; i < FILES; i++) {
        struct content c = read_content(f, files[i]);
        for (size_t at = 0; at < c.size; at++) {
            c.bytes[at] ^= (uint8_t)(1 << at % 8);
            write_content(&c, c.size);
            assert_is_skipped(f, i ? files[i] : "manifest");
            c.bytes[at] ^= (uint8_t)(1 << at % 8);
        }
        c.size++; /* and one byte more */
        write_content(&c, c.size);
        assert_is_skipped(f, i ? files[i] : "manifest");
        write_content(&c, c.size - 1);
        xfree(c.bytes);
    }
}

/* Whoever seals a manifest anew may write what he likes: it is refused, or names the same files. */
static void test_any_manifest(void **state)
{
    enum { TRIALS = 4000 };
    struct folder *f = *state;
    char why[WHY], folder[PATH], end[MANIFEST_END + 1];
    write_some(f, 2, 3);
    struct content c = read_content(f, "manifest.json");
    struct random r = random_at(RANDOM_TEST, 3, 0, 0, 0);
    uint8_t *original = xcalloc(c.size, 1);
    memcpy(original, c.bytes, c.size);
    snprintf(folder, sizeof folder, "%s/samples-000000000020", f->path);
    for (int i = 0; i < TRIALS; i++) {
        memcpy(c.bytes, original, c.size);
        size_t text = c.size - MANIFEST_END;
        for (int k = random_below(&r, 3); k >= 0; k--)
            c.bytes[random_below(&r, (uint32_t)text)] =
                i % 2 ? (uint8_t)random_below(&r, 256)
                      : (uint8_t) "{}[]\":,0-e\\ "[random_below(&r, 12)];
        manifest_end(end, (const char *)c.bytes, text);
        memcpy(c.bytes + text, end, MANIFEST_END);
        write_content(&c, c.size);
        struct checkpoint *opened = checkpoint_open(folder, -1, why, sizeof why);
        if (opened)
            assert_holds(opened, 20);
        checkpoint_close(opened);
    }
    xfree(original);
    xfree(c.bytes);
}

/* The same for a file of state: whatever its header says, nothing beyond its end is touched. */
static void test_any_state_file(void **state)
{
    enum { TRIALS = 20000 };
    struct folder *f = *state;
    char why[WHY];
    int count, taken = 0;
    write_some(f, 2, 3);
    struct content c = read_content(f, "rank-0.safetensors");
    struct random r = random_at(RANDOM_TEST, 4, 0, 0, 0);
    for (int i = 0; i < TRIALS; i++) {
        size_t size = i % 5 ? c.size : random_below(&r, (uint32_t)c.size);
        uint8_t *bytes = malloc(size + 1); /* its end is the heap's: a sanitizer sees beyond */
        assert_non_null(bytes);
        memcpy(bytes, c.bytes, size);
        for (int k = random_below(&r, 3); k >= 0 && size; k--)
            bytes[random_below(&r, (uint32_t)size)] = (uint8_t)random_below(&r, 256);
        struct mapped file = {bytes, size};
        struct kept *list = state_file_read(&file, &count, why, sizeof why);
        for (int k = 0; list && k < count; k++) {
            const uint8_t *from = list[k].memory;
            size_t all = (size_t)list[k].count * state_size(list[k].type);
            assert_true(from >= bytes && all <= (size_t)(bytes + size - from));
        }
        taken += list != NULL;
        xfree(list);
        free(bytes);
    }
    assert_true(taken > 0 && taken < TRIALS);
    xfree(c.bytes);
}

/* A rank whose file does not come, one that cannot write: nothing half is left. */
static void test_a_rank_that_fails(void **state)
{
    struct folder *f = *state;
    char said[1000];
    struct checkpoint_writer *w = writer(f, 0, 3);
    cut(w, 0, 1, 10);
    checkpoint_writer_close(w);
    assert_false(checkpoint_folder_is_used(f->path));
    assert_null(find(f, said, sizeof said));
    assert_string_equal(said, "");

    struct folder full = {"/dev/full"};
    w = writer(&full, 0, 3);
    cut(w, 0, 1, 10);
    await(w);
    assert_true(checkpoint_writer_failed(w));
    assert_int_equal(checkpoint_writer_written(w), 0);
    checkpoint_writer_close(w);
}

/* The first one is given up for the second, the last one since a rank is lost. A rank that is late
 * makes their folders again. */
static void test_one_that_is_given_up_leaves_nothing(void **state)
{
    struct folder *f = *state;
    struct checkpoint_writer *w[RANKS] = {writer(f, 0, 3), writer(f, 1, 3)};
    for (int r = 0; r < RANKS; r++)
        for (int number = 1; number <= 2; number++)
            cut(w[r], r, number, 10 * number);
    await(w[0]);
    assert_newest(f, 20);
    cut(w[0], 0, 3, 30);
    checkpoint_writer_give_up(w[0]);
    await(w[0]);
    cut(w[1], 1, 3, 30);
    assert_false(checkpoint_writer_failed(w[0]));
    for (int r = RANKS - 1; r >= 0; r--)
        checkpoint_writer_close(w[r]);
    assert_newest(f, 20);
}

/* A coder for each of 500 others, at each of 500 ranks; --slow that names 10,000. */
static void test_many_of_all(void **state)
{
    enum { MANY = 250000, LENGTH = 150000 };
    struct folder *f = *state;
    char said[1000], why[WHY], *manifest = xcalloc(LENGTH + 100, 1);
    struct kept *list = xcalloc(MANY, sizeof *list), last = {"", STATE_I64, &(int64_t){0}, 1};
    int64_t *number = xcalloc(MANY, sizeof *number);
    struct checkpoint_writer *w = checkpoint_writer_open(&(struct checkpoint_writer_options){
        .folder = f->path, .ranks = 1, .keep = 3, .deadline_s = 10});
    for (int i = 0; i < MANY; i++) {
        number[i] = i;
        list[i] = (struct kept){"", STATE_I64, &number[i], 1};
        snprintf(list[i].name, sizeof list[i].name, "worker.coders/%d/messages", i);
    }
    snprintf(last.name, sizeof last.name, "%s", list[MANY - 1].name);
    snprintf(manifest, LENGTH + 100, "{\"options\": {\"slow\": \"%0*d\"}}", LENGTH, 7);
    checkpoint_write(w, 1, 10, list, MANY, manifest);
    checkpoint_writer_close(w);
    struct checkpoint *c = find(f, said, sizeof said);
    assert_string_equal(said, "");
    assert_int_equal(strlen(checkpoint_field(c, "options/slow")), LENGTH);
    assert_true(checkpoint_load(c, 0, &last, why, sizeof why));
    assert_int_equal(*(int64_t *)last.memory, MANY - 1);
    checkpoint_close(c);
    xfree(list);
    xfree(number);
    xfree(manifest);
}

/* What a crash left is named, and is in nobody's way. */
static void test_unfinished_is_named(void **state)
{
    struct folder *f = *state;
    char said[1000], path[PATH];
    snprintf(path, sizeof path, "%s/.3-0123456789abcdef.part", f->path);
    assert_int_equal(mkdir(path, 0777), 0);
    write_some(f, 1, 3);
    struct checkpoint *c = find(f, said, sizeof said);
    assert_holds(c, 10);
    assert_non_null(strstr(said, ".3-0123456789abcdef.part: was never finished"));
    checkpoint_close(c);
    snprintf(path, sizeof path, "%s/nowhere", f->path);
    struct folder nowhere;
    snprintf(nowhere.path, sizeof nowhere.path, "%.50s/none", f->path);
    assert_null(find(&nowhere, said, sizeof said));
}

/* Broken ones of a run that was further do not push out the new ones. */
static void test_broken_ones_count_for_nothing(void **state)
{
    struct folder *f = *state;
    char path[PATH];
    int count;
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/samples-%012d", f->path, 1000 + i);
        assert_int_equal(mkdir(path, 0777), 0);
    }
    write_some(f, 2, 2);
    int64_t *list = folder_list(f->path, &count);
    assert_int_equal(count, 5);
    assert_int_equal(list[0], 10);
    free(list);
}

int main(void)
{
#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(test_what_was_written_is_read),
        IN_A_FOLDER(test_what_does_not_fit_is_not_read),
        IN_A_FOLDER(test_the_newest_stay),
        IN_A_FOLDER(test_torn_at_every_byte),
        IN_A_FOLDER(test_a_bit_turned_at_every_byte),
        IN_A_FOLDER(test_any_manifest),
        IN_A_FOLDER(test_any_state_file),
        IN_A_FOLDER(test_a_rank_that_fails),
        IN_A_FOLDER(test_one_that_is_given_up_leaves_nothing),
        IN_A_FOLDER(test_many_of_all),
        IN_A_FOLDER(test_unfinished_is_named),
        IN_A_FOLDER(test_broken_ones_count_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
