/* oneDNN's C interface behind passes (library.h). Only this file calls it, and operation_v2.c or
 * operation_v3.c beside it.
 *
 * A primitive is made once for its shape; running it sets three addresses. Its scratchpad and the
 * copies of operands that want another layout lie one after another in the caller's scratch block.
 * Taps that see nothing but padding (of a 3x3 kernel on a 1x1 image all but the centre) are cut
 * off: the kernel sees the window of the active ones; the gradients of the others are zero. */
#include "backend/onednn/library.h"

#include <stdio.h>
#include <string.h>

#include "backend/onednn/operation.h"
#include "base/alloc.h"

enum { ALIGN = 64 };

struct library {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

/* One operand: as the caller has it and as the kernel wants it; the reorder between is NULL when
 * they are the same. */
struct side {
    dnnl_memory_t caller, kernel;
    dnnl_primitive_t reorder;
    size_t at; /* of the copy in the scratch block */
    int argument;
};

/* The active taps along one axis: first .. first + count - 1, with the padding that is left for
 * them. */
struct window {
    int first, count, pad_before, pad_after;
};

struct pass {
    struct library *library;
    enum operand written;
    size_t w_offset, w_zeroed; /* floats before the first active tap; floats to clear before some of
                                  them are written */
    dnnl_primitive_t primitive;
    struct side side[OPERANDS];
    dnnl_memory_t scratchpad;
    size_t scratch;
    bool reference;
};

void library_version(char *text, size_t size)
{
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, size, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
}

/* An instruction set's number has the bits of those that it includes. */
bool library_has_bf16(void)
{
    unsigned isa = dnnl_get_effective_cpu_isa(), bf16 = dnnl_cpu_isa_avx512_core_bf16;
    return (isa & bf16) == bf16;
}

struct library *library_open(void)
{
    if (dnnl_version()->cpu_runtime != DNNL_RUNTIME_OMP)
        fatal("this oneDNN %d.%d brings other threads than OpenMP's; install one that is built for "
              "OpenMP (./install.sh names it) and build anew",
              dnnl_version()->major, dnnl_version()->minor);
    struct library *l = xcalloc(1, sizeof *l);
    DNNL(dnnl_engine_create(&l->engine, dnnl_cpu, 0));
    DNNL(dnnl_stream_create(&l->stream, l->engine, dnnl_stream_default_flags));
    return l;
}

void library_close(struct library *l)
{
    DNNL(dnnl_stream_destroy(l->stream));
    DNNL(dnnl_engine_destroy(l->engine));
    xfree(l);
}

/* A tap is active when some output sees the image through it. */
static struct window window_of(int in, int out, const struct unit_shape *s)
{
    int last_begin = (out - 1) * s->stride - s->pad; /* where the last output's first tap lies */
    int first = s->kernel, last = 0;
    for (int tap = 0; tap < s->kernel; tap++)
        for (int o = 0; o < out; o++) {
            int at = o * s->stride + tap - s->pad;
            if (at < 0 || at >= in)
                continue;
            first = tap < first ? tap : first;
            last = tap;
        }
    int after = last_begin + last - (in - 1);
    return (struct window){first, last - first + 1, s->pad - first, after > 0 ? after : 0};
}

/* What a row of x is to the library: part of an image, or for inner products a pixel or a whole
 * image. */
enum form { FORM_CONVOLUTION, FORM_PIXELS, FORM_IMAGES, FORM_NONE };

static struct tensor images(const struct layout *l)
{
    dnnl_dim_t c = l->c, row = (dnnl_dim_t)l->w * c;
    return (struct tensor){4, {l->n, c, l->h, l->w}, {l->h * row, 1, row, c}, l->bf16, false};
}

static struct tensor matrix(dnnl_dim_t rows, dnnl_dim_t columns, dnnl_dim_t step, bool bf16)
{
    return (struct tensor){2, {rows, columns}, {step, 1}, bf16, false};
}

/* The operands as the caller has them. */
static void take_caller(enum form form, const struct unit_shape *s, const struct window *rows,
                        const struct window *columns, const struct layout *x,
                        const struct layout *y, struct tensor caller[OPERANDS])
{
    dnnl_dim_t pixels = (dnnl_dim_t)x->n * x->h * x->w, taps = (dnnl_dim_t)s->kernel * s->kernel,
               in = x->c;
    if (form == FORM_PIXELS) {
        caller[OPERAND_X] = matrix(pixels, in, in, x->bf16);
        caller[OPERAND_Y] = matrix(pixels, y->c, y->c, y->bf16);
        caller[OPERAND_W] = matrix(y->c, in, taps * in, false);
        return;
    }
    caller[OPERAND_X] = images(x);
    caller[OPERAND_Y] = form == FORM_IMAGES ? matrix(y->n, y->c, y->c, y->bf16) : images(y);
    caller[OPERAND_W] = (struct tensor){4,
                                        {y->c, in, rows->count, columns->count},
                                        {taps * in, 1, s->kernel * in, in},
                                        false,
                                        false};
}

/* The operands as the kernel is asked to take them: `bf16` unless they are sums (gradients of
 * weights are float32). */
static void take_wanted(enum direction d, enum method m, bool bf16,
                        const struct tensor caller[OPERANDS], struct tensor wanted[OPERANDS])
{
    for (enum operand o = 0; o < OPERANDS; o++) {
        wanted[o] = caller[o];
        wanted[o].bf16 = bf16 && !(o == OPERAND_W && d == BACKWARD_WEIGHTS);
        wanted[o].any = m != METHOD_AS_IS || o == OPERAND_W;
    }
}

/* NULL when the library can't do it. Both ways back ask for a forward one first, as a hint, whose
 * weights are of the activations' type, even where their gradient is float32. */
static dnnl_primitive_desc_t propose(const struct library *l, const struct operation *o)
{
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t hint = NULL, description = NULL;
    DNNL(dnnl_primitive_attr_create(&attr));
    DNNL(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user));
    if (o->direction != FORWARD) {
        struct operation forward = *o;
        forward.direction = FORWARD;
        forward.tensor[OPERAND_W].bf16 = o->tensor[OPERAND_Y].bf16;
        hint = operation_describe(&forward, l->engine, NULL, attr);
    }
    if (o->direction == FORWARD || hint)
        description = operation_describe(o, l->engine, hint, attr);
    if (hint)
        DNNL(dnnl_primitive_desc_destroy(hint));
    DNNL(dnnl_primitive_attr_destroy(attr));
    return description;
}

static int argument_of(enum direction d, enum operand o)
{
    switch (o) {
    case OPERAND_X:
        return d == BACKWARD_DATA ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC;
    case OPERAND_W:
        return d == BACKWARD_WEIGHTS ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS;
    default:
        return d == FORWARD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST;
    }
}

static size_t reserve(struct pass *p, size_t bytes)
{
    size_t at = p->scratch;
    p->scratch += (bytes + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

static dnnl_memory_t memory_of(const struct library *l, memory_description md)
{
    dnnl_memory_t m;
    DNNL(dnnl_memory_create(&m, md, l->engine, DNNL_MEMORY_NONE));
    return m;
}

static void open_side(struct pass *p, enum operand o, const struct tensor *t,
                      memory_description kernel)
{
    struct side *side = &p->side[o];
    dnnl_engine_t engine = p->library->engine;
    memory_description caller = tensor_open(t);
    side->caller = memory_of(p->library, caller);
    if (!dnnl_memory_desc_equal(caller, kernel)) {
        bool back = p->written == o;
        dnnl_primitive_desc_t description;
        side->kernel = memory_of(p->library, kernel);
        side->at = reserve(p, dnnl_memory_desc_get_size(kernel));
        DNNL(dnnl_reorder_primitive_desc_create(&description, back ? kernel : caller, engine,
                                                back ? caller : kernel, engine, NULL));
        DNNL(dnnl_primitive_create(&side->reorder, description));
        DNNL(dnnl_primitive_desc_destroy(description));
    }
    tensor_close(caller);
}

/* May it be an inner product? Of pixels, where the kernel is 1x1; or of images that the one output
 * sees whole. */
static enum form inner_form(const struct unit_shape *s, const struct window *rows,
                            const struct window *columns, const struct layout *x,
                            const struct layout *y)
{
    bool padded = rows->pad_before || rows->pad_after || columns->pad_before || columns->pad_after,
         single = x->h * x->w == 1;
    if (padded)
        return FORM_NONE;
    if (rows->count == 1 && columns->count == 1 && (s->stride == 1 || single))
        return FORM_PIXELS;
    return y->h * y->w == 1 && rows->count == x->h && columns->count == x->w ? FORM_IMAGES
                                                                             : FORM_NONE;
}

struct pass *pass_open(struct library *l, enum direction d, enum method m,
                       const struct unit_shape *s, const struct layout *x, const struct layout *y)
{
    struct window rows = window_of(x->h, y->h, s), columns = window_of(x->w, y->w, s);
    enum form form = m == METHOD_INNER ? inner_form(s, &rows, &columns, x, y) : FORM_CONVOLUTION;
    if (form == FORM_NONE)
        return NULL;
    struct tensor caller[OPERANDS];
    struct operation operation = {.direction = d,
                                  .is_inner = m == METHOD_INNER,
                                  .stride = {s->stride, s->stride},
                                  .pad_before = {rows.pad_before, columns.pad_before},
                                  .pad_after = {rows.pad_after, columns.pad_after}};
    take_caller(form, s, &rows, &columns, x, y, caller);
    take_wanted(d, m, y->bf16, caller, operation.tensor);
    dnnl_primitive_desc_t description = propose(l, &operation);
    if (!description)
        return NULL;
    struct pass *p = xcalloc(1, sizeof *p);
    const char *name;
    p->library = l;
    p->w_offset = ((size_t)rows.first * (size_t)s->kernel + (size_t)columns.first) * (size_t)x->c;
    if (d == BACKWARD_WEIGHTS && (rows.count < s->kernel || columns.count < s->kernel))
        p->w_zeroed = (size_t)y->c * (size_t)s->kernel * (size_t)s->kernel * (size_t)x->c;
    p->written = d == FORWARD ? OPERAND_Y : d == BACKWARD_DATA ? OPERAND_X : OPERAND_W;
    DNNL(dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, (void *)&name));
    p->reference = strstr(name, "ref") != NULL;
    memory_description pad = dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0);
    reserve(p, dnnl_memory_desc_get_size(pad));
    p->scratchpad = memory_of(l, pad);
    for (enum operand o = 0; o < OPERANDS; o++) {
        p->side[o].argument = argument_of(d, o);
        open_side(
            p, o, &caller[o],
            dnnl_primitive_desc_query_md(description, dnnl_query_exec_arg_md, p->side[o].argument));
    }
    DNNL(dnnl_primitive_create(&p->primitive, description));
    DNNL(dnnl_primitive_desc_destroy(description));
    return p;
}

void pass_close(struct pass *p)
{
    if (!p)
        return;
    for (enum operand o = 0; o < OPERANDS; o++) {
        DNNL(dnnl_memory_destroy(p->side[o].caller));
        if (p->side[o].reorder) {
            DNNL(dnnl_primitive_destroy(p->side[o].reorder));
            DNNL(dnnl_memory_destroy(p->side[o].kernel));
        }
    }
    DNNL(dnnl_memory_destroy(p->scratchpad));
    DNNL(dnnl_primitive_destroy(p->primitive));
    xfree(p);
}

bool pass_is_reference(const struct pass *p)
{
    return p->reference;
}

size_t pass_scratch(const struct pass *p)
{
    return p->scratch;
}

static void reorder(const struct pass *p, const struct side *s, bool back)
{
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, back ? s->kernel : s->caller},
                              {DNNL_ARG_TO, back ? s->caller : s->kernel}};
    DNNL(dnnl_primitive_execute(s->reorder, p->library->stream, 2, args));
}

void pass_run(struct pass *p, void *const operand[OPERANDS], void *scratch)
{
    dnnl_exec_arg_t args[OPERANDS + 1];
    if (p->w_zeroed)
        memset(operand[OPERAND_W], 0, p->w_zeroed * sizeof(float));
    for (enum operand o = 0; o < OPERANDS; o++) {
        struct side *s = &p->side[o];
        DNNL(dnnl_memory_set_data_handle(
            s->caller, o == OPERAND_W ? (float *)operand[o] + p->w_offset : operand[o]));
        args[o] = (dnnl_exec_arg_t){s->argument, s->reorder ? s->kernel : s->caller};
        if (!s->reorder)
            continue;
        DNNL(dnnl_memory_set_data_handle(s->kernel, (char *)scratch + s->at));
        if (o != p->written)
            reorder(p, s, false);
    }
    DNNL(dnnl_memory_set_data_handle(p->scratchpad, scratch));
    args[OPERANDS] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, p->scratchpad};
    DNNL(dnnl_primitive_execute(p->primitive, p->library->stream, OPERANDS + 1, args));
    if (p->side[p->written].reorder)
        reorder(p, &p->side[p->written], true);
    DNNL(dnnl_stream_wait(p->library->stream));
}

void library_sgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                   const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                   int64_t ldc)
{
    DNNL(dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, 1, a, lda, b, ldb,
                    beta, c, ldc));
}
