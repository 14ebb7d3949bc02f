/* cuDNN's graph API seen as plans: every way in which the library can compute one convolution in
 * one direction on a device.
 *
 * A pass has three operands: x (activations in), w (weights) and y (activations out); its direction
 * says which of them is written, and then they are gradients. x is [batch][in_h][in_w][in_c], w
 * [out_c][kernel][kernel][in_c], y [batch][out_h][out_w][out_c], all of one type and 16-byte
 * aligned; sums are float32 in either type. A dense layer is a 1x1 convolution of images of one
 * pixel. The planner knows a device: the one at hand, or one described in JSON (cuDNN 9.8 and
 * later), for which plans are proposed and built as for a real one, but not run. Proposals for a
 * pass cost some milliseconds, building one less, or a second where it is compiled. The only file
 * that calls cuDNN is conv_plan.c. */
#ifndef BACKEND_CUDNN_CONV_PLAN_H
#define BACKEND_CUDNN_CONV_PLAN_H

#include <cuda_runtime_api.h>

#include "backend/backend.h"

enum direction { FORWARD, BACKWARD_DATA, BACKWARD_WEIGHTS, DIRECTIONS };
enum operand { OPERAND_X, OPERAND_W, OPERAND_Y, OPERANDS };

enum { MOST_PLANS = 64, PLAN_NAME = 32, PLAN_ALIGN = 16 };

struct planner;

void planner_version(char *text, size_t size); /* "cuDNN 9.19.0" */
struct planner *planner_open(void); /* for the CUDA device that is current in this thread */
struct planner *planner_describe(const char *json);     /* for a device that is not here */
void planner_close(struct planner *p);                  /* after all its plans */
void planner_stream(struct planner *p, cudaStream_t s); /* where plans run from now on */

struct plan {
    char name[PLAN_NAME]; /* its kernel and settings: the same name is the same plan as long as
                             cuDNN's version is the same */
    bool tensor_cores;
    bool narrows; /* rounds its inputs (float32 to TF32, say), or sums in a narrower type than
                     float32 */
    bool tf32; /* narrows by no more than what the tensor cores do to float32: they multiply 10 of
                  its 23 bits */
    bool wanders;         /* two runs may differ in their last bits */
    bool compiles;        /* is compiled when it is built */
    size_t workspace;     /* bytes, once built */
    void *config, *built; /* cuDNN's; built is NULL before plans_build() */
};

/* What can be done for one pass, best first in the library's opinion, no plan twice. */
struct plans {
    struct planner *planner;
    int count;
    struct plan plan[MOST_PLANS];
    void
        *part[OPERANDS + 3]; /* cuDNN's descriptions of the pass, which live as long as the plans */
};

struct plans *plans_open(struct planner *p, enum direction d, const struct unit_shape *s,
                         enum backend_dtype dtype);
void plans_close(struct plans *p); /* with everything that was built */

/* false: it can't be built on this device after all */
bool plans_build(struct plans *p, int which);
void plans_forget(struct plans *p, int which); /* gives back what was built */

/* Runs a built plan on its planner's stream, in order with what is there. The workspace may be NULL
 * where none is wanted. False: the library refused, plans_words() says why. Nothing is allocated on
 * the device; the stream may be recording. */
bool plans_run(const struct plans *p, int which, void *const operand[OPERANDS], void *workspace);
void plans_words(char *text, size_t size);

#endif
