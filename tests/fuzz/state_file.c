/* Files of a checkpoint's state: what is taken lies within the file, each name once. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "checkpoint/private.h"

static void check_list(const struct kept *list, int count, const uint8_t *bytes, size_t size)
{
    for (int i = 0; i < count; i++) {
        const uint8_t *at = list[i].memory;
        if (list[i].count < 0 || at < bytes || at > bytes + size ||
            (uint64_t)list[i].count > (uint64_t)(bytes + size - at))
            fuzz_defect("%s has %lld numbers beyond the file", list[i].name,
                        (long long)list[i].count);
        for (int k = 0; k < i; k++)
            if (!strcmp(list[i].name, list[k].name))
                fuzz_defect("%s is there twice", list[i].name);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char why[WHY_SIZE] = "";
    int count = 0;
    struct kept *list = state_file_read(&(struct mapped){bytes, size}, &count, why, sizeof why);
    if (list)
        check_list(list, count, bytes, size);
    else if (!*why)
        fuzz_defect("refused without a word");
    *(list ? &fuzz_counts()->taken : &fuzz_counts()->refused) += 1;
    xfree(list);
    return 0;
}

/* A good one. */
size_t fuzz_seed(int number, uint8_t *bytes)
{
    float weights[7] = {1, 2};
    int64_t next[2] = {5, 6};
    const struct kept list[] = {{"weights", STATE_F32, weights, 7}, {"next", STATE_I64, next, 2}};
    struct file_mark mark;
    char *text = NULL;
    size_t size;
    if (number)
        return 0;
    FILE *file = open_memstream(&text, &size);
    bool written = state_file_write(file, list, 2, &mark);
    fclose(file);
    if (!written || size > FUZZ_SEED_MOST)
        fuzz_defect("no good file of %zu bytes", size);
    memcpy(bytes, text, size);
    free(text);
    return size;
}
