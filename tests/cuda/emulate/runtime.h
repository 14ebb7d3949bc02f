/* CUDA's runtime on the CPU: as much of it as the backend calls, for programs without a device.
 *
 * Streams are queues that nobody empties before somebody waits or asks; between streams only events
 * order anything, and what may run runs in an order that turns around now and then. So a missing
 * wait shows. What is captured is kept and run again at each launch of the graph. What CUDA would
 * refuse (a wait or a copy of pageable memory within a capture, an unknown stream) ends the
 * program. */
#ifndef TESTS_CUDA_EMULATE_RUNTIME_H
#define TESTS_CUDA_EMULATE_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

typedef struct CUstream_st *cudaStream_t;

/* Puts body(copy of the argument's bytes) into the stream; without a stream it runs now, after all
 * that is queued. */
void emulate_enqueue(cudaStream_t stream, void (*body)(const void *argument), const void *argument,
                     size_t bytes);

/* The machine has `count` GPUs, of which the first `old` are too old; with an error the search for
 * them fails. Driver: its CUDA version as CUDA counts, 0: there is none. */
void emulate_gpus(int count, int old, int error, int driver);

int64_t emulate_allocations(void); /* of the device's memory, so far */

#endif
