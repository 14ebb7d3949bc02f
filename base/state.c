#include "base/state.h"

static const struct {
    size_t size;
    const char *name;
} types[STATE_TYPES] = {
    [STATE_F32] = {4, "F32"},
    [STATE_F64] = {8, "F64"},
    [STATE_I64] = {8, "I64"},
    [STATE_U8] = {1, "U8"},
};

size_t state_size(enum state_type type)
{
    return types[type].size;
}

const char *state_name(enum state_type type)
{
    return types[type].name;
}
