/* Faults: what befalls the ranks of a simulated run, and when (--faults FILE).
 *
 * A line is a fault, '#' begins a comment:
 *
 *   rank R WHEN WHAT
 *
 *   WHEN   push K         as the K-th push of this worker has set out, K from 1
 *          minibatch K    as its K-th mini-batch begins, dropped ones counted
 *          second T       T seconds after training began
 *          random T       at a moment that the seed draws from 0 to T seconds
 *          row K          as its K-th row of results is written, or file that is written at once
 *          weights K      as its K-th file of weights is (--save, the best)
 *          checkpoint K   as its K-th file of a checkpoint is: state, its note, manifest, in turn
 *
 *   WHAT   dead                it stops for good
 *          frozen S            it stops for S seconds, whatever it does then
 *          slower N for S      its mini-batches that begin within S seconds take N times as long
 *          late L for S        each message that it sends within S seconds is late by L seconds
 *          scattered L for S   the same, by a random part of L that is drawn for each: messages of
 *                              several senders change places; those of one lane never do
 *          down S              its link to other hosts is down for S seconds: what would leave it
 *                              or come to it waits, and no heartbeat passes
 *
 *          of files alone (row, weights, checkpoint), which are rank 0's:
 *          full N              this one and the N - 1 after it find the disk full
 *          torn                one half of it is written, and nobody is told
 *          flipped             one bit of it is written wrongly, and nobody is told
 *
 * or all of it is drawn: "random:SEED", "random:SEED,COUNT", "random:SEED,COUNT,SECONDS" are COUNT
 * faults (3) of any ranks within SECONDS (10), and with ",FILES" behind that as many of files (0);
 * a pure function of these numbers and of the ranks.
 *
 * A rank that is silent for longer than --deadline ends the run, or is absent from it, as in the
 * real world. */
#ifndef SLOWNESS_FAULTS_H
#define SLOWNESS_FAULTS_H

#include <stdint.h>
#include <stdio.h>

#include "base/disk.h"

enum fault_when {
    FAULT_PUSH,
    FAULT_MINIBATCH,
    FAULT_SECOND,
    FAULT_ROW, /* and on: of files, as enum disk_files */
    FAULT_WEIGHTS,
    FAULT_CHECKPOINT
};

enum fault_kind {
    FAULT_DEAD,
    FAULT_FROZEN,
    FAULT_SLOWER,
    FAULT_LATE,
    FAULT_SCATTERED,
    FAULT_DOWN,
    FAULT_FULL, /* and on: of files, as enum disk_harm */
    FAULT_TORN,
    FAULT_FLIPPED,
    FAULT_KINDS
};

struct fault {
    int rank;
    enum fault_when when;
    double moment; /* the number of the push, mini-batch or file; the second */
    enum fault_kind kind;
    /* SLOWER: times; LATE, SCATTERED: seconds of a message; FULL: files; others: 0 */
    double amount;
    double for_s; /* how long it lasts; DEAD, files: INFINITY */
};

enum { FAULTS = 256 };

struct faults {
    struct fault fault[FAULTS];
    int count;
    /* those of files, in their order; faults_load() fills it in */
    struct disk_fault disk[FAULTS];
    int disk_count;
};

struct fault_world { /* whom they may befall */
    int ranks, servers;
    uint64_t seed; /* of `random T` */
};

struct fault_draw {
    uint64_t seed;
    int count;
    double within_s;         /* it strikes by then: moments */
    double short_s;          /* how long it lasts at most */
    double lethal, lethal_s; /* with that probability it kills, or lasts for so long */
    int files;               /* and so many of files */
};

/* What --faults says. NULL of an empty text; to be released by faults_free(). Fatal on what it does
 * not know, naming file and line. */
struct faults *faults_load(const char *text, const struct fault_world *world);
void faults_free(struct faults *f);

struct faults faults_draw(const struct fault_draw *d, const struct fault_world *world);

bool fault_is_of_file(const struct fault *f);

/* In the words of a file; what is read again is the same, to the last bit. */
void faults_write(const struct faults *f, FILE *to);
void fault_write(const struct fault *f, char *text, size_t size); /* one of them, without newline */

#endif
