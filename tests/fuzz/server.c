/* A parameter server of any scheme, and what hostile workers and servers push to it. */
#include "tests/fuzz/peers.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    peers_run(bytes, size, true);
    return 0;
}

size_t fuzz_seed(int number, uint8_t *bytes)
{
    return peers_seed(number, bytes);
}
