/* How fast images come out of class folders: in turns (turns.h), images a second over a turn.
 *
 *   loader --what decode|train|exact|judge --data DIR [--threads N] [--side N] [--batch N]
 *
 * decode is libjpeg-turbo alone, each whole image to RGB, from files in memory: the limit. train is
 * the loader with its augmentation, exact the same without --quick-decode, judge what is evaluated.
 * All have N threads. What was made ahead of a turn is thrown away first. */
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include "base/alloc.h"
#include "base/check.h"
#include "bench/turns.h"
#include "data_loader/class_folder.h"
#include "data_loader/class_listing.h"
#include "data_loader/data_loader.h"
#include "data_loader/thread_pool.h"

enum { AHEAD = 2 };

struct file {
    uint8_t *bytes;
    size_t count;
};

struct bench {
    int side, batch, threads;
    struct file *files; /* decode: all of them, that are JPEG */
    int count;
    struct thread_pool *pool;
    struct jpeg_decompress_struct *jpeg; /* [threads] */
    struct jpeg_error_mgr *errors;
    uint8_t **room;
    struct dataset *d;
    struct loader *loader;
    float *images;
    int32_t *labels;
    int64_t next;
};

/* --- libjpeg-turbo alone */

static void decode(void *of, int64_t i, int hand)
{
    enum { MOST_WIDTH = 1 << 16 };
    struct bench *b = of;
    const struct file *f = &b->files[(b->next + i) % b->count];
    struct jpeg_decompress_struct *jpeg = &b->jpeg[hand];
    if (!jpeg->err) {
        jpeg->err = jpeg_std_error(&b->errors[hand]);
        jpeg_create_decompress(jpeg);
        b->room[hand] = xcalloc(MOST_WIDTH, 3);
    }
    jpeg_mem_src(jpeg, f->bytes, f->count);
    jpeg_read_header(jpeg, TRUE);
    if (jpeg->num_components < 4)
        jpeg->out_color_space = JCS_RGB;
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height)
        jpeg_read_scanlines(jpeg, &b->room[hand], 1);
    jpeg_finish_decompress(jpeg);
}

static void open_decoder(struct bench *b, const char *folder)
{
    char path[LISTED_PATH];
    struct class_listing l;
    snprintf(path, sizeof path, "%.4000s/train", folder);
    if (!class_listing_open(&l, path))
        fatal("%s: no class folders", path);
    class_listing_read(&l, &l);
    b->files = xcalloc((size_t)l.count, sizeof *b->files);
    for (int64_t i = 0; i < l.count; i++) {
        struct file f = {xcalloc((size_t)l.file[i].bytes + 1, 1), (size_t)l.file[i].bytes};
        FILE *from = fopen(class_listing_path(&l, i, path), "rb");
        CHECK(from && fread(f.bytes, 1, f.count, from) == f.count, "%s cannot be read", path);
        fclose(from);
        if (f.count > 2 && f.bytes[0] == 0xff && f.bytes[1] == 0xd8)
            b->files[b->count++] = f;
        else
            xfree(f.bytes);
    }
    class_listing_close(&l);
    b->pool = thread_pool_open(b->threads);
    b->jpeg = xcalloc((size_t)b->threads, sizeof *b->jpeg);
    b->errors = xcalloc((size_t)b->threads, sizeof *b->errors);
    b->room = xcalloc((size_t)b->threads, sizeof *b->room);
}

/* --- the loader */

static void open_loader(struct bench *b, const char *folder, const char *what)
{
    const struct class_folder_options own = {.side = b->side,
                                             .crop_area = 0.08,
                                             .quick = strcmp(what, "exact"),
                                             .unreadable = "refuse",
                                             .threads = b->threads};
    b->d = dataset_open(
        &(struct dataset_options){.name = "folder", .folder = folder, .train = true, .own = &own});
    if (strcmp(what, "judge")) {
        b->loader = loader_open(
            b->d,
            &(struct loader_options){
                .batch = b->batch, .seed = 1, .workers = 1, .augment = true, .prefetch = AHEAD});
        return;
    }
    b->images = xcalloc((size_t)b->batch * (size_t)(b->side * b->side), 3 * sizeof *b->images);
    b->labels = xcalloc((size_t)b->batch, sizeof *b->labels);
}

static void one_batch(struct bench *b)
{
    if (b->files) {
        thread_pool_run(b->pool, b->batch, decode, b);
        b->next += b->batch;
    } else if (b->loader) {
        loader_batch(b->loader, b->next++);
    } else {
        int64_t first = b->next++ * b->batch % (b->d->count - b->batch + 1);
        dataset_read(b->d, first, b->batch, b->images, b->labels);
    }
}

static void serve(struct bench *b)
{
    char line[80];
    while (fgets(line, sizeof line, stdin) && strtod(line, NULL) > 0) {
        for (int i = 0; i <= AHEAD; i++)
            one_batch(b);
        int64_t batches = 0;
        double begin = turns_now(), end = begin + strtod(line, NULL), now;
        do {
            one_batch(b);
            batches++;
            now = turns_now();
        } while (now < end);
        printf("%.6g\n", (double)(batches * b->batch) / (now - begin));
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    static const struct option words[] = {{"what", 1, NULL, 'w'},    {"data", 1, NULL, 'd'},
                                          {"threads", 1, NULL, 't'}, {"side", 1, NULL, 's'},
                                          {"batch", 1, NULL, 'b'},   {0}};
    struct bench b = {.side = 224, .batch = 32, .threads = 1};
    const char *what = "train", *folder = ".";
    for (int word; (word = getopt_long(argc, argv, "", words, NULL)) != -1;) {
        if (word == 'w')
            what = optarg;
        else if (word == 'd')
            folder = optarg;
        else if (word == 't')
            b.threads = atoi(optarg);
        else if (word == 's')
            b.side = atoi(optarg);
        else if (word == 'b')
            b.batch = atoi(optarg);
        else
            return EXIT_USER;
    }
    if (b.threads < 1 || b.side < 1 || b.batch < 1)
        fatal("--threads, --side and --batch are numbers of at least 1");
    if (!strcmp(what, "decode"))
        open_decoder(&b, folder);
    else
        open_loader(&b, folder, what);
    printf("ready images=%lld\n", (long long)(b.d ? b.d->count : b.count));
    fflush(stdout);
    serve(&b);
    return 0;
}
