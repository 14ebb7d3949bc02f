/* Files of options (--config). */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>

#include "tests/fuzz/configuration.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char path[300];
    snprintf(path, sizeof path, "--config=%s", fuzz_file(bytes, size));
    struct configuration c = {.argc = 3, .argv = {"nbsgd", "--check-options", path}};
    fuzz_try(configuration_check, &c);
    return 0;
}
