/* oneDNN itself, seen as passes: one convolution in one direction, with everything that its layouts
 * need.
 *
 * A pass has three operands: x (activations in), w (float32 [out][kh][kw][in]) and y (activations
 * out); its direction says which of them is written. Where the kernel wants another layout or type
 * than the caller's, the pass brings the operand there and back through the scratch block that the
 * caller hands in. Nothing is allocated when a pass runs. */
#ifndef BACKEND_ONEDNN_LIBRARY_H
#define BACKEND_ONEDNN_LIBRARY_H

#include "backend/backend.h"
#include "backend/onednn/layout.h"

enum direction { FORWARD, BACKWARD_DATA, BACKWARD_WEIGHTS, DIRECTIONS };
enum operand { OPERAND_X, OPERAND_W, OPERAND_Y, OPERANDS };

enum method {
    METHOD_AS_IS, /* oneDNN's convolution on x and y as they lie; w in the layout it likes best */
    METHOD_INNER, /* as an inner product over the pixels: 1x1 kernels and 1x1 images */
    METHODS
};

struct library;
struct pass;

void library_version(char *text, size_t size); /* of the library that is loaded */
bool library_has_bf16(void);
struct library *library_open(void); /* fatal if it brings threads other than OpenMP's */
void library_close(struct library *l);

/* NULL when the method can't do it. */
struct pass *pass_open(struct library *l, enum direction d, enum method m,
                       const struct unit_shape *s, const struct layout *x, const struct layout *y);
void pass_close(struct pass *p);
bool pass_is_reference(const struct pass *p); /* only the library's slow plain loops can do it */
size_t pass_scratch(const struct pass *p);    /* bytes */
void pass_run(struct pass *p, void *const operand[OPERANDS], void *scratch);

/* Row-major C[m][n] = op(A)[m][k] op(B)[k][n] + beta C, op is the transpose where asked. */
void library_sgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                   const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                   int64_t ldc);

#endif
