/* The windows of a mean pool from any size to any other, as PyTorch's AdaptiveAvgPool2d has them.
 *
 * Along one dimension output i of `out` is the mean of inputs floor(i in / out) to
 * ceil((i + 1) in / out) - 1. Windows overlap where `out` does not divide `in`, and where `out` is
 * greater. Input j is in the windows of outputs floor(j out / in) to ceil((j + 1) out / in) - 1:
 * the same rule with the sizes exchanged. */
#ifndef BACKEND_MEAN_POOL_H
#define BACKEND_MEAN_POOL_H

struct mean_window {
    int first, end;
};

static inline struct mean_window mean_window(int i, int from_size, int to_size)
{
    return (struct mean_window){i * from_size / to_size,
                                ((i + 1) * from_size + to_size - 1) / to_size};
}

static inline int mean_window_length(struct mean_window w)
{
    return w.end - w.first;
}

#endif
