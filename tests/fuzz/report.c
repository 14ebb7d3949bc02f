/* The files that a report reads: of a run's folder, or a study's, one is the input, as its first
 * byte says, and the others are good. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report/figure_rows.h"
#include "report/numbers.h"

enum { STUDY = 3, FILES = 6 };

static const struct {
    const char *name, *good;
} files[FILES] = {
    {"eval.csv", "# thresholds: 30,60\n# seed: 1\n# slow: 2=3\n"
                 "seconds,samples,updates,epoch,loss,top1,top5,training_loss\n"
                 "0,0,0,0,2.3,10,50,2.3\n1,64,1,0.1,2.1,40,80,2.2\n2,128,2,0.2,2,61,90,2\n"},
    {"histograms.csv", "histogram,value,count\nstaleness,3,10\nminibatches_per_update,63,5\n"},
    {"summary.json", "{\"scheme\": \"ssgd\", \"status\": \"finished\", \"top1\": 61, "
                     "\"tta\": {\"30\": 0.5, \"60\": null}, \"starved\": false}\n"},
    {"study.csv", "# title: a study\ncase,setting,seed,status,seconds,top1,tta_60\n"
                  "a,b,1,missing,,,\na,c,1,failed,,,inf\n"},
    {"confusion.csv", "class,samples,said_0,said_1\n0,5,4,1\n1,5,2,3\n"},
    {"worker_losses.csv", "seconds,samples,updates,worker,rank,used,loss\n"
                          "1,64,1,0,1,32,2.2\n1,64,1,1,2,32,2.1\n2,128,2,1,2,64,1.9\n"},
};

static void write_file(int which, const void *bytes, size_t size)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), files[which].name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file))
        fuzz_defect("cannot write %s", path);
}

/* Opened before a try, with memory of its own: what a try allocates is released when it is refused.
 */
static FILE *nowhere;

static void open_nowhere(void)
{
    static char buffer[4096];
    if (nowhere)
        return;
    if (!(nowhere = fopen("/dev/null", "w")))
        fuzz_defect("cannot open /dev/null");
    setvbuf(nowhere, buffer, _IOFBF, sizeof buffer);
}

static void draw_losses(const struct source *s)
{
    const struct report report = {.source = s};
    if (worker_losses_has_rows(&report))
        worker_losses_rows(nowhere, &report);
}

static void read_folder(void *self)
{
    (void)self;
    struct numbers n = {0};
    struct source *s = source_open(fuzz_folder());
    comparison_fill(&n, s, numbers_baseline(s, NULL));
    if (!s->is_study)
        confusion_fill(&n, &s->runs[0]);
    draw_losses(s);
    for (int i = 0; i < n.count; i++)
        if (n.list[i].of >= 0 && n.list[i].count > n.list[i].of)
            fuzz_defect("%s: %d of %d", measure_words[n.list[i].measure].name, n.list[i].count,
                        n.list[i].of);
    numbers_close(&n);
    source_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char path[400];
    int which = size ? bytes[0] % FILES : 0;
    snprintf(path, sizeof path, "%s/study.csv", fuzz_folder());
    unlink(path);
    for (int i = 0; i < FILES; i++)
        if (i != STUDY)
            write_file(i, files[i].good, strlen(files[i].good));
    write_file(which, size ? bytes + 1 : bytes, size ? size - 1 : 0);
    open_nowhere();
    fuzz_try(read_folder, NULL);
    return 0;
}

size_t fuzz_seed(int number, uint8_t *bytes)
{
    if (number >= FILES)
        return 0;
    bytes[0] = (uint8_t)number;
    memcpy(bytes + 1, files[number].good, strlen(files[number].good));
    return 1 + strlen(files[number].good);
}
