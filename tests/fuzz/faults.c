/* Files of faults (--faults), and what is drawn: what is taken can befall a rank that there is, and
 * is the same when it is written and read again. */
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "slowness/slowness.h"

static const struct fault_world world = {.ranks = 9, .servers = 2, .seed = 1};

static char *written(const struct faults *f, size_t *size)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, size);
    faults_write(f, to);
    fclose(to);
    return text;
}

static void load(void *self)
{
    struct faults *f = faults_load(self, &world);
    if (!f)
        return;
    for (int i = 0; i < f->count; i++)
        if (f->fault[i].rank < 0 || f->fault[i].rank >= world.ranks || !(f->fault[i].moment >= 0) ||
            !(f->fault[i].for_s >= 0) || !isfinite(f->fault[i].amount))
            fuzz_defect("fault %d is of rank %d, at %g for %g s, by %g", i, f->fault[i].rank,
                        f->fault[i].moment, f->fault[i].for_s, f->fault[i].amount);
    size_t size, size_again;
    char *text = written(f, &size);
    struct faults *again = faults_load(fuzz_file((const uint8_t *)text, size), &world);
    char *same = again ? written(again, &size_again) : NULL;
    if (same ? strcmp(text, same) != 0 : f->count > 0)
        fuzz_defect("written as\n%s\nand read as\n%s", text, same ? same : "(nothing)");
    free(text);
    free(same);
    faults_free(again);
    faults_free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char text[100];
    bool drawn = size < sizeof text && size >= 7 && !memcmp(bytes, "random:", 7);
    snprintf(text, sizeof text, "%.*s", drawn ? (int)size : 0, (const char *)bytes);
    fuzz_try(load, drawn ? text : (void *)fuzz_file(bytes, size));
    return 0;
}
