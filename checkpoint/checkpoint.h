/* Checkpoints: a run's whole state in a folder, written while training goes on, and read again.
 *
 *   DIR/samples-000000012800/
 *     manifest.json        what it is: format, commit, options, scheme, samples, version, seconds,
 *                          rows written so far; of each file its bytes and digest
 *     weights.safetensors  the weights by PyTorch's names, for everybody else
 *     rank-N.safetensors   the state of rank N (in the simulated world: of all ranks, rank 0's)
 *
 * Writing: at a cut each rank copies its state into memory of its own; a thread of its own writes
 * the copy into a folder with a name of this run's (.NUMBER-RUN.part), syncs it, and says that it
 * is there by a small file rank-N.json. When all are there, rank 0's thread writes weights and
 * manifest, syncs, renames the folder, syncs DIR, and removes the oldest beyond --checkpoint-keep.
 * So a folder with the right name has a manifest, and was whole; no message is sent. All ranks must
 * see DIR. Cost of a cut: one copy of the state, and memory for it; one at a time is written.
 *
 * Reading trusts no byte: a checkpoint is taken when its manifest is well formed and each file has
 * the bytes and the digest that it says. */
#ifndef CHECKPOINT_CHECKPOINT_H
#define CHECKPOINT_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/disk.h"
#include "base/state.h"

/* --- its options: base/common_options.h, struct checkpoint_options --- */

struct checkpoint_every { /* both 0: none is written */
    double seconds;       /* of wall clock */
    int64_t samples;
};

/* "60s", "10m", "2h": seconds; "10000": samples; "": none. Fatal on anything else. */
struct checkpoint_every checkpoint_every_of(const char *text);

/* --- state: what a rank keeps --- */

enum { STATE_NAME = 80 };

struct kept { /* borrowed memory of a rank, by name */
    char name[STATE_NAME];
    enum state_type type;
    void *memory;
    int64_t count;
};

/* --- writing --- */

struct checkpoint_writer; /* of one rank */

struct checkpoint_writer_options {
    const char *folder; /* DIR; made when it is missing */
    int rank, ranks;    /* of those that write a file each: the simulated world is one */
    int64_t keep;       /* the newest so many stay; 0: all */
    int64_t floats;     /* of the weights, which ranks keep as "weights", in parts in rank order */
    uint64_t run;      /* the same at all ranks, drawn anew for each run: names what is not whole */
    double deadline_s; /* rank 0: so long it waits for the others' files when the run ends; ten
                           times as long while it goes on */
    /* Rank 0: writes the weights to `path` as the problem does, from a copy; its own thread calls
     * it. `statistics`: what it keeps as "statistics", or NULL. False and errno on failure. NULL:
     * there is no file of weights. */
    bool (*save_weights)(void *self, const char *path, const float *w, const float *statistics);
    void *self;
    struct disk *disk; /* NULL: the real one */
};

struct checkpoint_writer *checkpoint_writer_open(const struct checkpoint_writer_options *o);

/* Is one still being written here? Then none can be cut. */
bool checkpoint_writer_is_busy(const struct checkpoint_writer *w);

/* Copies the state and returns; its thread writes. `number`: 1, 2, .. of this run, the same at all
 * ranks. `samples` names the folder, manifest is a JSON object whose fields the manifest gets: rank
 * 0's. If the last one is still being written, it waits for that. A failure is said, and counted
 * (checkpoint_writer_failed()); training goes on. */
void checkpoint_write(struct checkpoint_writer *w, int64_t number, int64_t samples,
                      const struct kept *state, int count, const char *manifest);

bool checkpoint_writer_failed(const struct checkpoint_writer *w);     /* any of them */
int64_t checkpoint_writer_written(const struct checkpoint_writer *w); /* rank 0: whole ones */

/* A rank is lost: of the one that is being written, files of others that are not there yet are not
 * waited for. That is no failure. */
void checkpoint_writer_give_up(struct checkpoint_writer *w);

/* The run ends: from now on it waits at most deadline_s for the others' files. */
void checkpoint_writer_end(struct checkpoint_writer *w);

/* Waits until all is written. Rank 0 closes when all the others have: it removes what late ranks
 * have left of one that was given up. */
void checkpoint_writer_close(struct checkpoint_writer *w);

/* --- reading --- */

struct checkpoint; /* one, found whole */

/* The checkpoint in that folder (one itself, a folder of them, a folder of results: its newest
 * whole one). NULL: there is none; `say` gets a line for each that was skipped, with the reason. */
struct checkpoint *checkpoint_find(const char *folder, FILE *say);

/* Are there checkpoints in it? */
bool checkpoint_folder_is_used(const char *folder);

/* From now on this process alone writes there, until it ends: what earlier runs have left
 * unfinished is removed. The folder is made. False: another process writes there. Where no lock can
 * be had nothing is removed. */
bool checkpoint_folder_own(const char *folder);

/* That one. rank: whose file is compared with its digest, -1: all. NULL: it is not whole; why[]
 * says what is wrong. */
struct checkpoint *checkpoint_open(const char *folder, int rank, char *why, size_t why_size);
void checkpoint_close(struct checkpoint *c);

const char *checkpoint_folder(const struct checkpoint *c);
int checkpoint_ranks(const struct checkpoint *c); /* files of state */

/* Fields of the manifest, as they were given to checkpoint_write(): "samples", or of an object,
 * "options/batch". Text as it is, numbers and words as they are written. NULL: there is no such. */
const char *checkpoint_field(const struct checkpoint *c, const char *name);
/* The fields that begin so ("options/"), by name: the i-th one's name after that, and its value.
 * False: there are no more. */
bool checkpoint_list(const struct checkpoint *c, const char *prefix, int i, const char **name,
                     const char **value);

/* What that rank kept under that name; memory NULL: nothing. It lies in the checkpoint's memory, as
 * bytes: aligned for its type, read only. */
struct kept checkpoint_state(const struct checkpoint *c, int rank, const char *name);
/* Fills `to`; false when it was kept with another type or count, or not at all: why[] says so. */
bool checkpoint_load(const struct checkpoint *c, int rank, const struct kept *to, char *why,
                     size_t why_size);

/* The floats that ranks keep in parts under one name, one after the other: "weights". False: they
 * are not `count`. */
bool checkpoint_load_parts(const struct checkpoint *c, const char *name, float *to, int64_t count);

#endif
