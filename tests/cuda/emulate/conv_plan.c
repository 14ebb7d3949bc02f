/* cuDNN's stand-in: two plans for each pass, both by the reference's loops, in float32 between
 * roundings to the operands' type; and two for float32 that narrow, of which one is TF32 and the
 * other must never run. Their workspace is overwritten, since nobody may keep anything there. */
#include "backend/cudnn/conv_plan.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "tests/cuda/emulate/runtime.h"

#define real float
#include "backend/ref/kernels.h"

enum { WORKSPACE = 4096, LOOPS = 2, TF32 = LOOPS, NARROW, PLANS };

struct planner {
    cudaStream_t stream;
};

struct pass { /* plans->part[0] */
    enum direction direction;
    struct unit_shape shape;
    enum backend_dtype dtype;
    bool tf32;
};

struct work {
    struct pass pass;
    void *operand[OPERANDS], *workspace;
};

void planner_version(char *text, size_t size)
{
    snprintf(text, size, "no cuDNN");
}

struct planner *planner_open(void)
{
    return xcalloc(1, sizeof(struct planner));
}

struct planner *planner_describe(const char *json)
{
    (void)json;
    return planner_open();
}

void planner_close(struct planner *p)
{
    xfree(p);
}

void planner_stream(struct planner *p, cudaStream_t stream)
{
    p->stream = stream;
}

struct plans *plans_open(struct planner *p, enum direction d, const struct unit_shape *s,
                         enum backend_dtype dtype)
{
    struct plans *plans = xcalloc(1, sizeof *plans);
    struct pass *pass = xcalloc(1, sizeof *pass);
    *pass = (struct pass){d, *s, dtype, false};
    pass->shape.kind = UNIT_CONV;
    pass->shape.norm = pass->shape.skip = pass->shape.relu = false;
    *plans =
        (struct plans){.planner = p, .count = dtype == DTYPE_BF16 ? LOOPS : PLANS, .part[0] = pass};
    for (int i = 0; i < plans->count; i++) {
        struct plan *plan = &plans->plan[i];
        snprintf(plan->name, PLAN_NAME, "loops %d", i);
        plan->tensor_cores = dtype == DTYPE_BF16 || i >= LOOPS;
        plan->narrows = i >= LOOPS;
        plan->tf32 = i == TF32;
    }
    CHECK(s->in_c % 4 == 0 && s->out_c % 4 == 0,
          "a convolution of %d to %d channels: rows are not of 16 bytes", s->in_c, s->out_c);
    return plans;
}

void plans_close(struct plans *p)
{
    if (!p)
        return;
    xfree(p->part[0]);
    xfree(p);
}

bool plans_build(struct plans *p, int which)
{
    p->plan[which].workspace = WORKSPACE;
    p->plan[which].built = p;
    return true;
}

void plans_forget(struct plans *p, int which)
{
    p->plan[which].built = NULL;
}

void plans_words(char *text, size_t size)
{
    snprintf(text, size, "nothing");
}

/* ---- the loops */

/* TF32 has 13 bits less than float32. */
static float *widened(const struct pass *pass, const void *from, size_t count)
{
    float *to = xcalloc(count, sizeof *to);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = pass->dtype == DTYPE_BF16 ? (uint32_t)((const uint16_t *)from)[i] << 16
                                                  : ((const uint32_t *)from)[i];
        if (pass->tf32 && (bits & 0x7f800000) != 0x7f800000)
            bits = (bits + 0xfff + (bits >> 13 & 1)) & ~(uint32_t)0x1fff;
        memcpy(&to[i], &bits, sizeof bits);
    }
    return to;
}

static void narrow(enum backend_dtype dtype, void *to, const float *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &from[i], sizeof bits);
        if (dtype == DTYPE_F32)
            ((uint32_t *)to)[i] = bits;
        else if (from[i] != from[i])
            ((uint16_t *)to)[i] = 0x7fff;
        else
            ((uint16_t *)to)[i] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    }
}

static void compute(const void *argument)
{
    const struct work *k = argument;
    const struct unit_shape *s = &k->pass.shape;
    enum backend_dtype dtype = k->pass.dtype;
    const size_t count[OPERANDS] = {x_count(s), conv_weights(s), y_count(s)};
    float *v[OPERANDS], *unwanted = xcalloc(count[OPERAND_W], sizeof(float)),
                        *scratch = xcalloc(ref_scratch(s) + ref_saved(s), sizeof(float));
    for (int i = 0; i < OPERANDS; i++)
        v[i] = widened(&k->pass, k->operand[i], count[i]);
    struct ref_call c = {.w = v[OPERAND_W],
                         .x = v[OPERAND_X],
                         .y = v[OPERAND_Y],
                         .dy = v[OPERAND_Y],
                         .scratch = scratch,
                         .threads = 1};
    enum operand written = k->pass.direction == FORWARD         ? OPERAND_Y
                           : k->pass.direction == BACKWARD_DATA ? OPERAND_X
                                                                : OPERAND_W;
    c.g = written == OPERAND_W ? v[OPERAND_W] : unwanted;
    c.dx = written == OPERAND_X ? v[OPERAND_X] : NULL;
    if (written == OPERAND_Y)
        ref_forward(s, &c, UNIT_TRAIN);
    else
        ref_backward(s, &c);
    narrow(dtype, k->operand[written], v[written], count[written]);
    memset(k->workspace, 0xff, WORKSPACE);
    for (int i = 0; i < OPERANDS; i++)
        xfree(v[i]);
    xfree(unwanted);
    xfree(scratch);
}

bool plans_run(const struct plans *p, int which, void *const operand[OPERANDS], void *workspace)
{
    struct work k = {.pass = *(const struct pass *)p->part[0], .workspace = workspace};
    CHECK(p->plan[which].built && which != NARROW, "a plan runs that %s",
          which == NARROW ? "narrows" : "was not built");
    k.pass.tf32 = which == TF32;
    memcpy(k.operand, operand, sizeof k.operand);
    emulate_enqueue(p->planner->stream, compute, &k, sizeof k);
    return true;
}
