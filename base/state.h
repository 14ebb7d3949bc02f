/* How a module shows what of its memory is state: what a run that is continued must find as it was.
 *
 * A member of a family below node/ has one function X_state(x, visit, self), which calls visit()
 * once for each vector and each number. A checkpoint copies them, a resumed run fills them in; both
 * are the visitor's business. Names are unique within the member, "m", "steps", "left". What is a
 * function of the options (sizes, constants) and what is scratch is not state. */
#ifndef BASE_STATE_H
#define BASE_STATE_H

#include <stddef.h>
#include <stdint.h>

enum state_type { STATE_F32, STATE_F64, STATE_I64, STATE_U8, STATE_TYPES };

/* `count` of that type at `memory`, which stays there until its owner is closed. The visitor may
 * write to it. */
typedef void state_visitor(void *self, const char *name, enum state_type type, void *memory,
                           int64_t count);

size_t state_size(enum state_type type);      /* bytes of one: 4, 8, 8, 1 */
const char *state_name(enum state_type type); /* as safetensors has it: "F32" */

/* A struct of numbers alone, without pointers and padding, as bytes: the same commit reads it. */
#define STATE_BYTES(visit, self, name, variable)                                                   \
    (visit)((self), (name), STATE_U8, &(variable), (int64_t)sizeof(variable))

#endif
