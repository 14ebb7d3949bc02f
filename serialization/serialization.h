/* Vectors to bytes and back: codecs for messages, and weights in files.
 *
 * A codec turns floats into the bytes of a message; a coder does it for the vectors of one sender.
 * Error feedback: what a lossy codec leaves out of one message is added to the next (Seide et al.
 * 2014; Stich et al. 2018, arXiv:1809.07599; Karimireddy et al. 2019, arXiv:1901.09847), so that
 * all that was sent and what is left add up to all that was given. A NaN never vanishes (each
 * codec's head says how it is seen). A reader trusts no byte: lengths and indices are checked
 * before they are used. */
#ifndef SERIALIZATION_SERIALIZATION_H
#define SERIALIZATION_SERIALIZATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/state.h"

struct coder;
struct coder_options;
struct journal; /* base/journal.h */

struct codec {
    const char *name;
    const char *summary; /* one line */
    const char *paper;   /* NULL: there is none */
    bool in_place;       /* the bytes are the floats: nothing to pack */
    bool weights;        /* weights survive it; the others carry gradients, differences only */
    bool remembers;      /* error feedback */
    const struct option_set *options; /* its own; NULL: none */
    const char *const *state;         /* of a coder, for checkpoints; ends with NULL; NULL: none */

    /* what coder_...() below call */
    int64_t (*k)(const struct coder_options *o); /* floats that a message carries; NULL: all */
    size_t (*message_bytes)(const struct coder *c);
    size_t (*work_bytes)(const struct coder *c); /* of c->work; NULL: it needs none */
    void (*encode)(struct coder *c, void *to, const float *from);
    const char *(*decode)(const struct coder *c, float *to, const void *from);
};

extern const struct codec *const codecs[]; /* NULL at the end */

const struct codec *codec_find(const char *name); /* fatal when unknown */
const char *codec_names(void);                    /* "f32|bf16|f16|int8|topk|randk|sign" */
void codec_list(FILE *to);                        /* for --help: name, line, paper */

struct coder_options {
    int64_t count;   /* floats of each vector, at least 1 */
    const void *own; /* codec_own()'s; NULL where the codec has none */
    uint64_t seed;   /* random choices are a function of (seed, worker, stream, messages before) */
    int worker;      /* the sender */
    int stream;      /* which of its vectors, e.g. the number of the server */
    bool only_unpacks; /* packs nothing; one such coder reads the messages of all senders */
    struct allocator allocator; /* of what it remembers */
    const struct journal
        *journal; /* while it forwards, messages are counted, none is made or read */
};

/* The codec's own options among all: what coder_options.own wants. */
const void *codec_own(const struct codec *codec, const struct options *o);

/* A coder does not allocate after it was opened. Messages lie aligned as floats do and mean the
 * same on machines of one byte order. */
struct coder *coder_open(const struct codec *codec, const struct coder_options *options);
void coder_close(struct coder *c);
size_t coder_bytes(const struct coder *c); /* every message has this length */

/* Packs `from` + what earlier messages left out, and remembers what this one leaves out, in the
 * units of `from`: of a gradient, so that a learning rate that falls meanwhile applies to it. */
void coder_pack(struct coder *c, void *to, const float *from);

/* NULL, or what is wrong with the coder_bytes() at `from`; then nothing was written. */
const char *coder_unpack(const struct coder *c, float *to, const void *from);

/* What its codec's `state` names: "left", "messages". One that only unpacks shows nothing. */
void coder_state(struct coder *c, state_visitor *visit, void *self);

const float *coder_left(const struct coder *c); /* [count]; NULL: none is remembered */

/* One tensor of the flat vector w, or of the statistics beside it. */
struct tensor {
    char name[80];         /* "layer1.0.conv1.weight" */
    int64_t offset, count; /* floats */
    int dims, shape[4];    /* as in PyTorch: [out, in, kh, kw]; in memory convolutions lie as
                              [out][kh][kw][in] */
    int pixels;  /* of a dense layer over an image: in memory its columns are [pixel][channel], in
                    PyTorch [channel][pixel]; 0, 1: no such */
    bool decays; /* by weight decay, as norms and biases do not by default */
    int stage;
};

/* All tensors of a model, in PyTorch's order. */
struct tensor_table {
    const char *model;      /* its name, for messages */
    const char *first_hint; /* what to do where a file's first layer is another; NULL: not known */
    const struct tensor *parameter, *statistic;
    int parameters, statistics;
};

/* How long the weights of a file were trained, as its metadata say. Nothing in it names the run:
 * equal runs write equal files. */
struct weights_note {
    int64_t samples, updates; /* samples 0: nothing is said */
    double top1;              /* percent; of the evaluation that judged them */
};

struct weights_target {
    const char *path;
    bool fresh; /* there must be no such file yet (errno EEXIST) */
    struct weights_note note;
    struct disk *disk; /* NULL: the real one */
};

/* Writes w (and the statistics unless NULL, as PyTorch's running_mean and running_var;
 * num_batches_tracked 0 beside them) as safetensors, with PyTorch's names, shapes and order. Whole
 * or not at all (base/file.h). False and errno on failure. */
bool weights_save(const struct weights_target *to, const struct tensor_table *table, const float *w,
                  const float *statistics);

enum weights_file {
    WEIGHTS_NONE,    /* no such file, or an empty one */
    WEIGHTS_FOREIGN, /* no weights with a note */
    WEIGHTS_NOTED,   /* *note is filled in */
};

/* What is in that file? Reads its beginning only, and trusts no byte of it. */
enum weights_file weights_note_read(const char *path, struct weights_note *note);

/* Reads a safetensors file into w, and the statistics where they are asked for and there
 * (*has_statistics; both may be NULL). Returns what PyTorch's wrappers had put before all names
 * ("module.") and was passed over, "": nothing. Fatal, saying file, tensor, expected and found,
 * when the file is truncated, of another kind, or damaged (tensors that overlap, bytes of none), or
 * when a tensor is missing, has another shape or type, or a number that is none. */
const char *weights_load(const char *path, const struct tensor_table *table, float *w,
                         float *statistics, bool *has_statistics);

struct weights_found {
    bool has_statistics;
    const char *prefix; /* weights_load()'s */
};

/* The same reader on bytes in memory (what the tests feed with garbage): NULL when all is well,
 * else what is wrong, in why[]; then nothing was written. */
const char *weights_parse(const uint8_t *bytes, size_t size, const struct tensor_table *table,
                          float *w, float *statistics, struct weights_found *found, char *why,
                          size_t why_size);

#endif
