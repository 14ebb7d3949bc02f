/* cuDNN's graph API (cudnn_graph.h) as plans (conv_plan.h). The only file that calls it.
 *
 * A pass is one operation of an operation graph. The heuristics answer with engine configurations:
 * a kernel and its settings (knobs), about 40 in mode A, then about 10 of the fallback list, which
 * has what always works. A device at hand is named by cuDNN's handle, a described one by its
 * properties. */
#include "backend/cudnn/conv_plan.h"

#include <assert.h>
#include <cudnn_graph.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "backend/cudnn/check.h"
#include "base/alloc.h"

enum { DIMENSIONS = 4, SPATIAL = 2 };
enum { CONVOLUTION = OPERANDS, OPERATION, GRAPH, PARTS }; /* of plans.part, after the tensors */

_Static_assert(PARTS == sizeof((struct plans *)0)->part / sizeof(void *),
               "plan.h makes room for the parts");

struct planner {
    cudnnHandle_t handle; /* of a device at hand, else NULL */
    void *device;         /* the properties of a described one, else NULL */
};

/* What one direction is called. */
static const struct {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t operand[OPERANDS], convolution, alpha, beta;
} operations[DIRECTIONS] = {
    [FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                 {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y},
                 CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    [BACKWARD_DATA] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                       {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY},
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    [BACKWARD_WEIGHTS] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                          {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY},
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

static const int64_t operand_id[OPERANDS] = {
    [OPERAND_X] = 'x', [OPERAND_W] = 'w', [OPERAND_Y] = 'y'};

static void *create(cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t d = NULL;
    CUDNN(cudnnBackendCreateDescriptor(type, &d));
    return d;
}

static void destroy(void *d)
{
    if (d)
        CUDNN(cudnnBackendDestroyDescriptor(d));
}

static void set(void *d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                int64_t count, const void *values)
{
    CUDNN(cudnnBackendSetAttribute(d, name, type, count, values));
}

static void set_part(void *d, cudnnBackendAttributeName_t name, void *const *part)
{
    set(d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, part);
}

/* How many of at most `most` values there are. */
static int get(void *d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
               int most, void *values)
{
    int64_t count = 0;
    CUDNN(cudnnBackendGetAttribute(d, name, type, most, &count, values));
    return count < most ? (int)count : most;
}

/* Descriptors of a list: the library fills what is created for it. Returns how many it filled, the
 * others are gone again. */
static int get_list(void *d, cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type,
                    int most, void **list)
{
    for (int i = 0; i < most; i++)
        list[i] = create(type);
    int count = get(d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, list);
    for (int i = count; i < most; i++)
        destroy(list[i]);
    return count;
}

void planner_version(char *text, size_t size)
{
    size_t v = cudnnGetVersion();
    snprintf(text, size, "cuDNN %zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
}

/* From now on the compiler's library stays: cuDNN loads and drops it for every question, which
 * would take most of the time. */
static void keep_compiler(void)
{
    char name[32];
    snprintf(name, sizeof name, "libnvrtc.so.%d", CUDART_VERSION / 1000);
    void *library = dlopen(name, RTLD_LAZY | RTLD_NODELETE);
    if (library)
        dlclose(library);
}

struct planner *planner_open(void)
{
    struct planner *p = xcalloc(1, sizeof *p);
    keep_compiler();
    CUDNN(cudnnCreate(&p->handle));
    return p;
}

struct planner *planner_describe(const char *json)
{
    struct planner *p = xcalloc(1, sizeof *p);
    keep_compiler();
    p->device = create(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    set(p->device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
        (int64_t)strlen(json), json);
    CUDNN(cudnnBackendFinalize(p->device));
    return p;
}

void planner_close(struct planner *p)
{
    if (p->handle)
        CUDNN(cudnnDestroy(p->handle));
    destroy(p->device);
    xfree(p);
}

void planner_stream(struct planner *p, cudaStream_t s)
{
    CUDNN(cudnnSetStream(p->handle, s));
}

/* Channels-last, whatever the order in which cuDNN counts the dimensions. */
static void *describe_tensor(int64_t id, enum backend_dtype dtype, int64_t n, int64_t c, int64_t h,
                             int64_t w)
{
    void *t = create(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    const cudnnDataType_t type = dtype == DTYPE_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    const int64_t alignment = PLAN_ALIGN;
    set(t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
    set(t, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    set(t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, DIMENSIONS,
        (const int64_t[]){n, c, h, w});
    set(t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, DIMENSIONS,
        (const int64_t[]){h * w * c, 1, w * c, c});
    CUDNN(cudnnBackendFinalize(t));
    return t;
}

static void *describe_convolution(const struct unit_shape *s)
{
    void *c = create(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t spatial = SPATIAL, one[SPATIAL] = {1, 1},
                  stride[SPATIAL] = {s->stride, s->stride}, pad[SPATIAL] = {s->pad, s->pad};
    set(c, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    set(c, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set(c, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &spatial);
    set(c, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, SPATIAL, one);
    set(c, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, SPATIAL, stride);
    set(c, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, SPATIAL, pad);
    set(c, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, SPATIAL, pad);
    CUDNN(cudnnBackendFinalize(c));
    return c;
}

static void describe_pass(struct plans *p, enum direction d, const struct unit_shape *s,
                          enum backend_dtype dtype)
{
    const float alpha = 1, beta = 0;
    p->part[OPERAND_X] =
        describe_tensor(operand_id[OPERAND_X], dtype, s->batch, s->in_c, s->in_h, s->in_w);
    p->part[OPERAND_W] =
        describe_tensor(operand_id[OPERAND_W], dtype, s->out_c, s->in_c, s->kernel, s->kernel);
    p->part[OPERAND_Y] =
        describe_tensor(operand_id[OPERAND_Y], dtype, s->batch, s->out_c, s->out_h, s->out_w);
    p->part[CONVOLUTION] = describe_convolution(s);
    void *operation = p->part[OPERATION] = create(operations[d].type);
    for (enum operand o = 0; o < OPERANDS; o++)
        set_part(operation, operations[d].operand[o], &p->part[o]);
    set_part(operation, operations[d].convolution, &p->part[CONVOLUTION]);
    set(operation, operations[d].alpha, CUDNN_TYPE_FLOAT, 1, &alpha);
    set(operation, operations[d].beta, CUDNN_TYPE_FLOAT, 1, &beta);
    CUDNN(cudnnBackendFinalize(operation));
    void *graph = p->part[GRAPH] = create(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set_part(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, &p->part[OPERATION]);
    if (p->planner->handle)
        set(graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &p->planner->handle);
    CUDNN(cudnnBackendFinalize(graph));
}

/* The library doesn't call TF32 narrow: all that the tensor cores do to float32 is. */
static void read_notes(struct plan *plan, void *engine, enum backend_dtype dtype)
{
    cudnnBackendNumericalNote_t numerical[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    cudnnBackendBehaviorNote_t behaviour[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
    int count = get(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                    CUDNN_NUMERICAL_NOTE_TYPE_COUNT, numerical);
    for (int i = 0; i < count; i++) {
        plan->tensor_cores |= numerical[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
        plan->narrows |= numerical[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
        plan->narrows |= numerical[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
        plan->wanders |= numerical[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
    }
    plan->tf32 = dtype == DTYPE_F32 && plan->tensor_cores && !plan->narrows;
    plan->narrows |= plan->tf32;
    count = get(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE,
                CUDNN_BEHAVIOR_NOTE_TYPE_COUNT, behaviour);
    for (int i = 0; i < count; i++)
        plan->compiles |= behaviour[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
}

/* FNV-1a over what the knobs are set to. */
static uint32_t read_knobs(void *config)
{
    void *knob[CUDNN_KNOB_TYPE_COUNTS];
    int count = get_list(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                         CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS, knob);
    uint32_t hash = 2166136261u;
    for (int i = 0; i < count; i++) {
        cudnnBackendKnobType_t type = CUDNN_KNOB_TYPE_COUNTS;
        int64_t value = 0;
        get(knob[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type);
        get(knob[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &value);
        hash = (hash ^ (uint32_t)type) * 16777619u;
        hash = (hash ^ (uint32_t)value) * 16777619u;
        destroy(knob[i]);
    }
    return hash;
}

/* False when it is there already, or there is no room: then the configuration stays the
 * caller's. */
static bool add(struct plans *p, void *config, enum backend_dtype dtype)
{
    struct plan plan = {.config = config};
    void *engine = create(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    int64_t index = 0;
    get(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &engine);
    get(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &index);
    read_notes(&plan, engine, dtype);
    destroy(engine);
    snprintf(plan.name, sizeof plan.name, "engine %d-%08x", (int)index, read_knobs(config));
    for (int i = 0; i < p->count; i++)
        if (!strcmp(p->plan[i].name, plan.name))
            return false;
    if (p->count == MOST_PLANS)
        return false;
    p->plan[p->count++] = plan;
    return true;
}

/* A mode that has no answer has none to add. */
static void propose(struct plans *p, cudnnBackendHeurMode_t mode, enum backend_dtype dtype)
{
    void *heuristics = create(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR), *config[MOST_PLANS];
    set_part(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, &p->part[GRAPH]);
    set(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (p->planner->device)
        set_part(heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, &p->planner->device);
    int count = 0;
    if (cudnnBackendFinalize(heuristics) == CUDNN_STATUS_SUCCESS)
        count = get_list(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                         CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, MOST_PLANS, config);
    for (int i = 0; i < count; i++)
        if (!add(p, config[i], dtype))
            destroy(config[i]);
    destroy(heuristics);
}

struct plans *plans_open(struct planner *planner, enum direction d, const struct unit_shape *s,
                         enum backend_dtype dtype)
{
    struct plans *p = xcalloc(1, sizeof *p);
    p->planner = planner;
    describe_pass(p, d, s, dtype);
    propose(p, CUDNN_HEUR_MODE_A, dtype);
    propose(p, CUDNN_HEUR_MODE_FALLBACK, dtype);
    return p;
}

void plans_close(struct plans *p)
{
    if (!p)
        return;
    for (int i = 0; i < p->count; i++) {
        plans_forget(p, i);
        destroy(p->plan[i].config);
    }
    for (int i = PARTS - 1; i >= 0; i--)
        destroy(p->part[i]);
    xfree(p);
}

bool plans_build(struct plans *p, int which)
{
    struct plan *plan = &p->plan[which];
    if (plan->built)
        return true;
    void *built = create(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    if (p->planner->handle)
        set(built, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &p->planner->handle);
    else
        set_part(built, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, &p->planner->device);
    if (cudnnBackendSetAttribute(built, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                 &plan->config) != CUDNN_STATUS_SUCCESS ||
        cudnnBackendFinalize(built) != CUDNN_STATUS_SUCCESS) {
        destroy(built);
        return false;
    }
    int64_t bytes = 0;
    get(built, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &bytes);
    plan->workspace = (size_t)bytes;
    plan->built = built;
    return true;
}

void plans_forget(struct plans *p, int which)
{
    destroy(p->plan[which].built);
    p->plan[which].built = NULL;
}

bool plans_run(const struct plans *p, int which, void *const operand[OPERANDS], void *workspace)
{
    assert(p->planner->handle && p->plan[which].built);
    void *pack = create(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    set(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, OPERANDS, operand_id);
    set(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, OPERANDS, operand);
    set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    CUDNN(cudnnBackendFinalize(pack));
    cudnnStatus_t status = cudnnBackendExecute(p->planner->handle, p->plan[which].built, pack);
    destroy(pack);
    return status == CUDNN_STATUS_SUCCESS;
}

void plans_words(char *text, size_t size)
{
    cudnnGetLastErrorString(text, size);
}
