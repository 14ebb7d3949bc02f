/* Each way has its own file; here is only which is which. */
#include "backend/onednn/algorithm.h"

#include "backend/onednn/direct.h"
#include "backend/onednn/product.h"
#include "backend/onednn/simd.h"
#include "backend/onednn/winograd.h"

const char *way_name(int which)
{
    static const char *const names[WAYS] = {
        [METHOD_AS_IS] = "as_is",   [METHOD_ANY] = "any", [METHOD_INNER] = "inner",
        [WAY_PRODUCT] = "product",  [WAY_OWN] = "own",    [WAY_WIDE] = "wide",
        [WAY_WINOGRAD] = "winograd"};
    return names[which];
}

bool way_open(struct way *way, int which, const struct device *d, enum direction dir,
              const struct unit_shape *s, const struct layout *x, const struct layout *y)
{
    *way = (struct way){0};
    if (which == WAY_PRODUCT)
        way->product = product_open(dir, s, x, y, &d->blas, d->threads);
    else if (which == WAY_OWN)
        way->own = direct_open(dir, s, x, y, d->tiles, d->threads);
    else if (which == WAY_WIDE)
        way->wide = wide_open(dir, s, x, y, d->tiles, d->threads);
    else if (which == WAY_WINOGRAD)
        way->winograd = winograd_open(dir, s, x, y, d->tiles, d->threads);
    else
        way->library = pass_open(d->library, dir, (enum method)which, s, x, y);
    return way->product || way->own || way->wide || way->winograd || way->library;
}

void way_close(struct way *way)
{
    pass_close(way->library);
    product_close(way->product);
    direct_close(way->own);
    wide_close(way->wide);
    winograd_close(way->winograd);
    *way = (struct way){0};
}

bool way_is_reference(const struct way *way)
{
    return way->library && pass_is_reference(way->library);
}

size_t way_scratch(const struct way *way)
{
    return way->product    ? product_scratch(way->product)
           : way->own      ? direct_scratch(way->own)
           : way->wide     ? wide_scratch(way->wide)
           : way->winograd ? winograd_scratch(way->winograd)
           : way->library  ? pass_scratch(way->library)
                           : 0;
}

void way_run(const struct way *way, void *const operand[OPERANDS], void *scratch)
{
    if (way->product)
        product_run(way->product, operand, scratch);
    else if (way->own)
        direct_run(way->own, operand, scratch);
    else if (way->wide)
        wide_run(way->wide, operand, scratch);
    else if (way->winograd)
        winograd_run(way->winograd, operand, scratch);
    else
        pass_run(way->library, operand, scratch);
}
