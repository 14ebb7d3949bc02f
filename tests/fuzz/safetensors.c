/* Weight files: the reader loads nothing but what is in the file, or says why and writes
 * nothing. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>

#include "base/alloc.h"
#include "tests/small_weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    bool loaded;
    const char *complaint = small_complaint(bytes, size, &loaded);
    struct weights_note note;
    weights_note_read(fuzz_file(bytes, size), &note);
    if (complaint)
        fuzz_defect("%s", complaint);
    *(loaded ? &fuzz_counts()->taken : &fuzz_counts()->refused) += 1;
    return 0;
}

/* A good file, with statistics and without. */
size_t fuzz_seed(int number, uint8_t *bytes)
{
    struct model *a = xcalloc(1, sizeof *a);
    float w[SMALL_FLOATS], statistics[SMALL_STATISTICS];
    char path[300];
    small_model(a);
    for (int i = 0; i < SMALL_FLOATS; i++)
        w[i] = (float)i;
    for (int i = 0; i < SMALL_STATISTICS; i++)
        statistics[i] = -(float)i;
    snprintf(path, sizeof path, "%s/good", fuzz_folder());
    if (number > 1 ||
        !model_save(&(struct weights_target){.path = path}, a, w, number ? NULL : statistics)) {
        xfree(a);
        return 0;
    }
    xfree(a);
    FILE *file = fopen(path, "rb");
    size_t size = file ? fread(bytes, 1, FUZZ_SEED_MOST, file) : 0;
    if (file)
        fclose(file);
    return size;
}
