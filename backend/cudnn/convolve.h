/* A convolution in its three directions by cuDNN, each by the plan that was fastest on this device.
 *
 * Operands, their layouts and types are those of conv_plan.h; in_c and out_c of the shape count the
 * channels as they lie in memory, padding included. Opened, each direction has the first plan of
 * the library's choice that is fit for us, and can run; timed or chosen by name, it has another.
 * Fit: float32 is multiplied as float32, or where the convolver allows it as TF32, but in no less;
 * bf16 and TF32 take plans on the tensor cores wherever there are any; then those that give the
 * same bits again; then those that need no compiler. One shape is opened and timed once for a
 * convolver, however many units have it. Operands and workspace are the caller's. */
#ifndef BACKEND_CUDNN_CONVOLVE_H
#define BACKEND_CUDNN_CONVOLVE_H

#include "backend/cudnn/conv_plan.h"

enum { CONVOLVE_WORKSPACE = 1 << 30 }; /* bytes: no plan that wants more is taken */

struct convolver; /* cuDNN on one device, and the shapes that are open */
struct convolve;

/* description: NULL for the CUDA device that is current in this thread; else the JSON of one that
 * is not here: nothing runs. tf32: products of float32 may be of TF32's 10 bits (sums stay
 * float32). */
struct convolver *convolver_open(const char *description, bool tf32);
void convolver_close(struct convolver *v);
/* where all runs go; not the default stream */
void convolver_stream(struct convolver *v, cudaStream_t stream);

/* Ends the program, naming the shape, when the library has no plan. A unit that is first has no
 * backward data. */
struct convolve *convolve_open(struct convolver *v, const struct unit_shape *s,
                               enum backend_dtype dtype);
void convolve_close(struct convolve *c);

/* Bytes that the directions as they are now want; less or more after timing. */
size_t convolve_workspace(const struct convolve *c);

/* Builds up to 24 fit plans that make do with `bytes` of workspace, times each in a recorded graph
 * on these operands (the written one is overwritten; random numbers, since zeros run faster) and
 * keeps the fastest. Waits for the device. Once is enough: further calls return at once. */
void convolve_time(struct convolve *c, enum direction d, void *const operand[OPERANDS],
                   void *workspace, size_t bytes);

/* Takes the plan of this name (conv_plan.h), as it was timed earlier. False: there is none that is
 * fit, nothing is changed. */
bool convolve_choose(struct convolve *c, enum direction d, const char *name);

/* All of the shape that plans depend on, in words of at most 159 characters: a key for what was
 * timed. */
const char *convolve_words(const struct convolve *c);

/* the one that runs */
const struct plan *convolve_plan(const struct convolve *c, enum direction d);

/* Runs on the convolver's stream. workspace: convolve_workspace() bytes, of this device alone. */
void convolve_run(const struct convolve *c, enum direction d, void *const operand[OPERANDS],
                  void *workspace);

#endif
