/* How tensors lie in a file and in the flat vector. */
#include "serialization/safetensors.h"

void safetensors_transpose(float *to, const float *from, int64_t rows, int64_t columns)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            to[c * rows + r] = from[r * columns + c];
}

int64_t safetensors_taps(const struct tensor *t)
{
    return t->dims == 4 ? (int64_t)t->shape[2] * t->shape[3] : t->pixels > 1 ? t->pixels : 1;
}

int64_t safetensors_row(const struct tensor *t)
{
    return t->dims == 4    ? t->shape[1] * safetensors_taps(t)
           : t->pixels > 1 ? t->shape[1]
                           : t->count;
}

int64_t safetensors_longest_row(const struct tensor *list, int count)
{
    int64_t longest = 1;
    for (int i = 0; i < count; i++)
        if (safetensors_taps(&list[i]) > 1 && safetensors_row(&list[i]) > longest)
            longest = safetensors_row(&list[i]);
    return longest;
}
