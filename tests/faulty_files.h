/* Disks that fail and processes that die in the middle of a write, as a process meets them.
 *
 * From faulty_begin() on each system call of this process that changes a file whose path holds
 * `file` is counted: opening to create or truncate, write, fsync, rename, truncate, unlink, mkdir.
 * At the call number `at`, from 1, something happens. The kernel hands those calls to a signal
 * handler (seccomp), so none is missed, whichever library makes it, and what is loaded later is
 * met, too.
 *
 *   FAULTY_KILL    the process is killed before the call
 *   FAULTY_TORN    the same, but of a write one half is made
 *   FAULTY_POWER   the same as KILL, and of each file what was not synced is gone, as after a
 *                  power cut (names stay: a folder that was not synced is not modelled)
 *   FAULTY_FULL    from that call on every write, fsync and creation fails: ENOSPC
 *   FAULTY_EIO     that call fails: EIO
 *   FAULTY_SHORT   that write takes one half of its bytes, and says so
 *   FAULTY_FLIP    that write has one bit flipped, and nobody is told
 *   FAULTY_SLOW    that call takes 8 s
 *
 * A whole program takes it from the environment: LD_PRELOAD=build/release/tests/faulty_files.so
 * FAULTY=kill FAULTY_AT=3 FAULTY_FILE=weights; FAULTY_LOG=PATH lists the calls (FAULTY=none: these
 * alone). Linux on x86-64 or ARM64. */
#ifndef TESTS_FAULTY_FILES_H
#define TESTS_FAULTY_FILES_H

#include <stdbool.h>
#include <stdint.h>

enum faulty_kind {
    FAULTY_NONE,
    FAULTY_KILL,
    FAULTY_TORN,
    FAULTY_POWER,
    FAULTY_FULL,
    FAULTY_EIO,
    FAULTY_SHORT,
    FAULTY_FLIP,
    FAULTY_SLOW
};

/* For this process and what it starts, until it ends. `count`: where calls are counted (memory that
 * is shared with whoever wants to read it, or the process's own). False: this kernel lets nobody do
 * that. */
bool faulty_begin(enum faulty_kind kind, const char *file, int64_t at, int64_t *count);

#endif
