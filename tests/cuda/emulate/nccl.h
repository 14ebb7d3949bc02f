/* NCCL's stand-in: the ranks of a communicator are coroutines of one process; a sum is made on
 * their streams when the last of them has asked for it, until then the library is at it
 * (ncclInProgress). What a caller does wrong is counted. */
#ifndef TESTS_CUDA_EMULATE_NCCL_H
#define TESTS_CUDA_EMULATE_NCCL_H

#include <stdbool.h>

struct fake_nccl {
    bool missing; /* the library is not there */
    int fail_at;  /* this all-reduce (1, 2, ..) fails; 0: none */
    bool late;    /* it fails when it is asked about, not when it is called */
    int begun, ended, operations, dropped; /* communicators of a rank; scaled sums */
    int pieces;                            /* calls of all ranks for a sum, or a piece of one */
    int wrong; /* calls while the library was at something, with other counts, after the end, ... */
};

extern struct fake_nccl fake_nccl;

#endif
