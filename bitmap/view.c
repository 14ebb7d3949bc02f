/* Which part of an image is shown, by torchvision's rules. Halves are rounded to even, as Python's
 * round() does. */
#include "bitmap/bitmap.h"

#include <assert.h>
#include <math.h>

static struct bitmap_view whole_window(struct bitmap_box box, int width, int height)
{
    return (struct bitmap_view){
        .box = box, .width = width, .height = height, .window = {0, 0, width, height}};
}

/* A box of an area and a ratio that were drawn; false: it isn't in the image. */
static bool draw_box(int width, int height, double least_area, struct random *r,
                     struct bitmap_box *box)
{
    const double logarithm = log(4.0 / 3);
    double area = (double)width * height * (least_area + (1 - least_area) * random_uniform(r));
    double ratio = exp(logarithm * (2 * random_uniform(r) - 1));
    double w = rint(sqrt(area * ratio)), h = rint(sqrt(area / ratio));
    if (!(0 < w && w <= width && 0 < h && h <= height))
        return false;
    box->width = (int)w;
    box->height = (int)h;
    box->top = (int)random_below(r, (uint64_t)(height - box->height) + 1);
    box->left = (int)random_below(r, (uint64_t)(width - box->width) + 1);
    return true;
}

static struct bitmap_box middle_box(int width, int height)
{
    struct bitmap_box box = {0, 0, width, height};
    double ratio = (double)width / height;
    if (ratio < 3.0 / 4)
        box.height = (int)rint(width / (3.0 / 4));
    else if (ratio > 4.0 / 3)
        box.width = (int)rint(height * (4.0 / 3));
    box.top = (height - box.height) / 2;
    box.left = (width - box.width) / 2;
    return box;
}

struct bitmap_view bitmap_view_random(int width, int height, int side, double least_area,
                                      struct random *r)
{
    enum { ATTEMPTS = 10 };
    struct bitmap_box box;
    bool drawn = false;
    for (int i = 0; i < ATTEMPTS && !drawn; i++)
        drawn = draw_box(width, height, least_area, r, &box);
    struct bitmap_view view = whole_window(drawn ? box : middle_box(width, height), side, side);
    view.mirror = random_below(r, 2);
    return view;
}

/* The whole image, its shorter side `to`. */
static struct bitmap_view resized(int width, int height, int to)
{
    double longer = width < height ? (double)height : width,
           shorter = width < height ? (double)width : height;
    int other = (int)(to * longer / shorter);
    return width <= height ? whole_window((struct bitmap_box){0, 0, width, height}, to, other)
                           : whole_window((struct bitmap_box){0, 0, width, height}, other, to);
}

struct bitmap_view bitmap_view_centre(int width, int height, int short_side, int side)
{
    assert(0 < side && side <= short_side);
    struct bitmap_view view = resized(width, height, short_side);
    view.window = (struct bitmap_box){(int)rint((view.width - side) / 2.0),
                                      (int)rint((view.height - side) / 2.0), side, side};
    return view;
}

struct bitmap_view bitmap_view_shrink(int width, int height, int short_side)
{
    int shorter = width < height ? width : height;
    return resized(width, height, shorter < short_side ? shorter : short_side);
}
