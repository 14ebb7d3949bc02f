/* Augmentation: crops and mirrors by the rule, evenly drawn, the same whoever draws. A failure
 * prints the case that repeats it. */
#include "data_loader/augment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/dataset_fixture.h"

enum {
    CHANNELS = FIXTURE_CHANNELS,
    HEIGHT = FIXTURE_HEIGHT,
    WIDTH = FIXTURE_WIDTH,
    SIZE = FIXTURE_IMAGE,
    BORDER = 4
};

static const struct augmentation customary = {.border = BORDER, .mirror = true};

/* The rule in plain words: a black border of 4, a crop of the old size, a mirror, the table of
 * levels, channels last. */
static void write_plainly(float *out, const struct dataset *d, int sample, struct augment how)
{
    enum { B = BORDER };
    uint8_t padded[CHANNELS][HEIGHT + 2 * B][WIDTH + 2 * B] = {0};
    for (int c = 0; c < CHANNELS; c++)
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x++)
                padded[c][y + B][x + B] =
                    d->pixels[((sample * CHANNELS + c) * HEIGHT + y) * WIDTH + x];
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            for (int c = 0; c < CHANNELS; c++) {
                int from = how.mirror ? WIDTH - 1 - x : x;
                float byte = padded[c][y + B + how.down][from + B + how.right];
                out[(y * WIDTH + x) * CHANNELS + c] =
                    (byte / 255.0f - d->mean[c]) / d->deviation[c];
            }
}

static void images_are_cropped_and_mirrored_by_the_rule(void **state)
{
    (void)state;
    struct dataset d = dataset_fixture_random(3);
    struct levels levels;
    levels_fill(&levels, &d);
    float plain[SIZE], written[SIZE];
    for (int k = 0; k < 3 * 81 * 2; k++) {
        struct augment how = {.down = k / 3 % 9 - 4, .right = k / 27 % 9 - 4, .mirror = k / 243};
        write_plainly(plain, &d, k % 3, how);
        image_write(written, &d, k % 3, how, &levels);
        if (memcmp(plain, written, sizeof plain))
            fail_msg("sample %d, down %d, right %d, mirror %d", k % 3, how.down, how.right,
                     how.mirror);
    }
    dataset_read(&d, 2, 1, written, &(int32_t){0});
    write_plainly(plain, &d, 2, (struct augment){0});
    assert_memory_equal(plain, written, sizeof plain);
    dataset_fixture_close(&d);
}

/* All 162 crops and mirrors come equally often (chi-squared: 161 expected, deviation 18), whichever
 * part of the key runs. */
static void augmentation_is_spread_evenly(void **state)
{
    (void)state;
    enum { CELLS = 162, EACH = 100 };
    for (int part = 0; part < 3; part++) {
        int seen[CELLS] = {0};
        double squares = 0;
        for (int i = 0; i < CELLS * EACH; i++) {
            struct augment a = augment_at(&customary, part == 0 ? (uint64_t)i : 3,
                                          part == 1 ? i : 4, part == 2 ? i : 5);
            assert_true(-4 <= a.down && a.down <= 4 && -4 <= a.right && a.right <= 4);
            seen[((a.down + 4) * 9 + a.right + 4) * 2 + a.mirror]++;
        }
        for (int k = 0; k < CELLS; k++)
            squares += (double)(seen[k] - EACH) * (seen[k] - EACH) / EACH;
        if (squares < 80 || squares > 250)
            fail_msg("key part %d: chi-squared %.1f, 161 expected", part, squares);
    }
}

/* Augmented images of pass `pass` into images[sample], whoever of `workers` holds them. */
static void read_augmented(const struct dataset *d, int workers, int pass, float *images)
{
    for (int w = 0; w < workers; w++) {
        struct loader *l = loader_open(
            d, &(struct loader_options){
                   .batch = 1, .seed = 9, .worker = w, .workers = workers, .augment = true});
        for (int64_t i = 0; i < loader_shard(l); i++) {
            struct batch b = loader_batch(l, pass * loader_shard(l) + i);
            memcpy(images + b.samples[0] * SIZE, b.images, SIZE * sizeof *images);
            assert_int_equal(b.labels[0], d->labels[b.samples[0]]);
        }
        loader_close(l);
    }
}

static void augmentation_is_the_same_whoever_draws(void **state)
{
    (void)state;
    enum { COUNT = 60 };
    struct dataset d = dataset_fixture_random(COUNT);
    size_t bytes = COUNT * SIZE * sizeof(float);
    float *alone = xcalloc(bytes, 1), *shared = xcalloc(bytes, 1), *last = xcalloc(bytes, 1);
    for (int pass = 0; pass < 3; pass++) {
        read_augmented(&d, 1, pass, alone);
        for (int workers = 2; workers < 8; workers++) {
            read_augmented(&d, workers, pass, shared);
            assert_memory_equal(alone, shared, bytes);
        }
        int same = 0;
        for (int i = 0; i < COUNT; i++)
            same += !memcmp(alone + i * SIZE, last + i * SIZE, SIZE * sizeof *alone);
        assert_true(same < 5); /* 1 in 162 is expected to come as in the pass before */
        memcpy(last, alone, bytes);
    }
    xfree(alone);
    xfree(shared);
    xfree(last);
    dataset_fixture_close(&d);
}

/* A loader that makes crops draws what one that makes images does, whoever prepares them. */
static void crops_are_the_images(void **state)
{
    (void)state;
    enum { BATCH = 6, STEPS = 40 };
    struct dataset d = dataset_fixture_random(50);
    struct levels levels;
    float image[SIZE], by_byte[MAX_CHANNELS][256];
    levels_fill(&levels, &d);
    dataset_levels(&d, by_byte);
    assert_memory_equal(by_byte, levels.of, CHANNELS * sizeof by_byte[0]);
    for (int prefetch = 0; prefetch <= 2; prefetch += 2)
        for (int augment = 0; augment < 2; augment++) {
            struct loader_options o = {.batch = BATCH,
                                       .seed = 3,
                                       .worker = 1,
                                       .workers = 3,
                                       .augment = augment,
                                       .prefetch = prefetch};
            struct loader *made = loader_open(&d, &o);
            o.crops = true;
            struct loader *told = loader_open(&d, &o);
            for (int64_t index = 0; index < STEPS; index++) {
                struct batch a = loader_batch(made, index), b = loader_batch(told, index);
                assert_null(a.crops);
                assert_null(b.images);
                assert_memory_equal(a.samples, b.samples, BATCH * sizeof *a.samples);
                assert_memory_equal(a.labels, b.labels, BATCH * sizeof *a.labels);
                for (int i = 0; i < BATCH; i++) {
                    const struct crop *c = &b.crops[i];
                    assert_int_equal(c->sample, a.samples[i]);
                    image_write(image, &d, c->sample,
                                (struct augment){c->down, c->right, c->mirror}, &levels);
                    assert_memory_equal(image, a.images + (size_t)i * SIZE, sizeof image);
                }
            }
            loader_close(made);
            loader_close(told);
        }
    dataset_fixture_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_are_cropped_and_mirrored_by_the_rule),
        cmocka_unit_test(augmentation_is_spread_evenly),
        cmocka_unit_test(augmentation_is_the_same_whoever_draws),
        cmocka_unit_test(crops_are_the_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
