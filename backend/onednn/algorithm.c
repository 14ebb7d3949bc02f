/* Each algorithm has its own file; this one only dispatches. */
#include "backend/onednn/algorithm.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#include "backend/onednn/direct.h"
#include "backend/onednn/product.h"
#include "backend/onednn/simd.h"
#include "backend/onednn/winograd.h"

const char *algorithm_name(int which)
{
    static const char *const names[ALGORITHMS] = {
        [METHOD_AS_IS] = "as_is",        [METHOD_INNER] = "inner",
        [ALGORITHM_PRODUCT] = "product", [ALGORITHM_DIRECT] = "direct",
        [ALGORITHM_SIMD] = "simd",       [ALGORITHM_WINOGRAD] = "winograd"};
    return names[which];
}

void algorithms_leave_out(const char *list, bool left_out[ALGORITHMS])
{
    char *copy = strdup(list), *save = NULL;
    for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        int which = 0;
        while (which < ALGORITHMS && strcmp(word, algorithm_name(which)))
            which++;
        if (which == ALGORITHMS)
            fatal("--without: unknown algorithm '%s'; known are as_is, inner, product, direct, "
                  "simd, winograd",
                  word);
        left_out[which] = true;
    }
    free(copy);
}

bool algorithm_open(struct algorithm *algorithm, int which, const struct device *d,
                    enum direction dir, const struct unit_shape *s, const struct layout *x,
                    const struct layout *y)
{
    *algorithm = (struct algorithm){0};
    if (which == ALGORITHM_PRODUCT)
        algorithm->product = product_open(dir, s, x, y, &d->blas, d->threads);
    else if (which == ALGORITHM_DIRECT)
        algorithm->direct = direct_open(dir, s, x, y, d->tiles, d->threads);
    else if (which == ALGORITHM_SIMD)
        algorithm->simd = simd_open(dir, s, x, y, d->tiles, d->threads);
    else if (which == ALGORITHM_WINOGRAD)
        algorithm->winograd = winograd_open(dir, s, x, y, d->tiles, d->threads);
    else
        algorithm->library = pass_open(d->library, dir, (enum method)which, s, x, y);
    return algorithm->product || algorithm->direct || algorithm->simd || algorithm->winograd ||
           algorithm->library;
}

void algorithm_close(struct algorithm *algorithm)
{
    pass_close(algorithm->library);
    product_close(algorithm->product);
    direct_close(algorithm->direct);
    simd_close(algorithm->simd);
    winograd_close(algorithm->winograd);
    *algorithm = (struct algorithm){0};
}

bool algorithm_is_reference(const struct algorithm *algorithm)
{
    return algorithm->library && pass_is_reference(algorithm->library);
}

size_t algorithm_scratch(const struct algorithm *algorithm)
{
    return algorithm->product    ? product_scratch(algorithm->product)
           : algorithm->direct   ? direct_scratch(algorithm->direct)
           : algorithm->simd     ? simd_scratch(algorithm->simd)
           : algorithm->winograd ? winograd_scratch(algorithm->winograd)
           : algorithm->library  ? pass_scratch(algorithm->library)
                                 : 0;
}

void algorithm_run(const struct algorithm *algorithm, void *const operand[OPERANDS], void *scratch)
{
    if (algorithm->product)
        product_run(algorithm->product, operand, scratch);
    else if (algorithm->direct)
        direct_run(algorithm->direct, operand, scratch);
    else if (algorithm->simd)
        simd_run(algorithm->simd, operand, scratch);
    else if (algorithm->winograd)
        winograd_run(algorithm->winograd, operand, scratch);
    else
        pass_run(algorithm->library, operand, scratch);
}
