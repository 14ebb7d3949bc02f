/* How a model's list of units is written: one call a layer, each reads what the last one wrote.
 *
 * A call appends a unit and returns it; the caller gives it its name and its flags, through
 * unit_name(), unit_norm() and u->shape. Parameters lie in the order of the calls unless a model
 * moves `parameter_index`. Fatal when the image is smaller than a window, or the list is full. */
#ifndef MODEL_BUILDER_H
#define MODEL_BUILDER_H

#include <stdbool.h>

struct model;
struct model_request;
struct unit_spec;

struct builder {
    struct model *m;
    int last;    /* the unit that wrote the current tensor, or IMAGES */
    int c, h, w; /* its shape */
    int stage;   /* of the units to come */
};

/* An empty list for these images; stage 0. */
struct builder builder_start(struct model *m, const struct model_request *request);

/* [c][h][w] -> [out_c][(h + 2 pad - kernel) / stride + 1][..], without bias, norm or ReLU. */
struct unit_spec *builder_conv(struct builder *b, int out_c, int kernel, int stride, int pad);
/* The same window; the greatest of each channel. */
struct unit_spec *builder_max_pool(struct builder *b, int kernel, int stride, int pad);
/* -> [c][h][w], as PyTorch's AdaptiveAvgPool2d. */
struct unit_spec *builder_mean_pool(struct builder *b, int h, int w);
/* -> [out_c][ceil(h / stride)][..], He's option A */
struct unit_spec *builder_shortcut(struct builder *b, int out_c, int stride);
/* -> [out][1][1]; reads the whole image. `hidden`: not the logits. */
struct unit_spec *builder_dense(struct builder *b, int out, bool hidden);
/* -> the same shape; the probability p of 0, of each element or of a channel as a whole */
struct unit_spec *builder_dropout(struct builder *b, double p, bool by_channel);

/* -> the same shape; fatal unless `groups` divides the channels */
struct unit_spec *builder_group_norm(struct builder *b, int groups);

/* Takes a list of sizes like "4096,4096" apart; "none": there are none. Returns how many there are.
 * Fatal, in the name of --hidden, when it is no such list, or longer. */
enum { BUILDER_SIZES = 16 };
int builder_sizes(const char *text, int sizes[BUILDER_SIZES]);

/* PyTorch's module names, as printf() makes them. A norm also sets the flag. */
__attribute__((format(printf, 2, 3))) void unit_name(struct unit_spec *u, const char *format, ...);
__attribute__((format(printf, 2, 3))) void unit_norm(struct unit_spec *u, const char *format, ...);

#endif
