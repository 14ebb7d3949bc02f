/* The threads of a GPU's kernel on the CPU, for tests/cuda/emulate.h. */
#ifndef TESTS_CUDA_EMULATE_THREADS_H
#define TESTS_CUDA_EMULATE_THREADS_H

#include <stdbool.h>
#include <stdint.h>

struct emulated_index {
    unsigned x;
};

extern struct emulated_index threadIdx, blockIdx; /* of the thread that runs */

/* Runs body(argument) on `threads` threads of each of the blocks. From one launch to the next the
 * order of threads and of blocks turns around: a result that depends on it will not come twice. */
void emulate_launch(int64_t blocks, int threads, void (*body)(const void *argument),
                    const void *argument);

/* All threads of the block come here, or the program ends. */
void emulate_barrier(const char *file, int line);

#endif
