/* Records of pushes (--replay): a server that replays one either follows it, or says what is wrong
 * with it. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <unistd.h>

#include "tests/fuzz/peers.h"

static char *name_of(char name[300])
{
    snprintf(name, 300, "%s/order", fuzz_folder());
    return name;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char name[300], path[310], option[320];
    snprintf(path, sizeof path, "%s.0", name_of(name));
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file))
        fuzz_defect("cannot write %s", path);
    snprintf(option, sizeof option, "--replay=%s", name);
    peers_serve(option);
    return 0;
}

/* The record of a run. */
size_t fuzz_seed(int number, uint8_t *bytes)
{
    char name[300], path[310], option[320];
    if (number)
        return 0;
    snprintf(path, sizeof path, "%s.0", name_of(name));
    snprintf(option, sizeof option, "--record=%s", name);
    unlink(path);
    peers_serve(option);
    FILE *file = fopen(path, "rb");
    size_t size = file ? fread(bytes, 1, FUZZ_SEED_MOST, file) : 0;
    if (file)
        fclose(file);
    return size;
}
