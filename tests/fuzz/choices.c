/* The cache of kernels' timed choices: a damaged file costs time, and nothing else. */
#include "tests/fuzz/fuzz.h"

#include "backend/choice.h"

static void load(void *path)
{
    struct choices *c = choices_open(path, "f32");
    const char *algorithm = choices_find(c, "conv 3x3");
    if (algorithm && !*algorithm)
        fuzz_defect("an algorithm without a name");
    choices_close(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_try(load, (void *)fuzz_file(bytes, size));
    return 0;
}
