/* The list of schemes, made from SCHEMES(X). */
#include "scheme/scheme.h"

#include <string.h>

#include "base/check.h"

#define SCHEME_ROW(name, flags, bound, messages, floats, staleness, rule, paper)                   \
    {#name, flags, bound, messages, floats, staleness, rule, paper, name##_work, name##_serve},
const struct scheme schemes[] = {SCHEMES(SCHEME_ROW){0}};

const struct scheme *scheme_find(const char *name)
{
    const char *names[64];
    int count = 0;
    for (const struct scheme *s = schemes; s->name; s++) {
        if (!strcmp(s->name, name))
            return s;
        names[count++] = s->name;
    }
    const char *near = config_nearest(name, names, count);
    fatal("--scheme: unknown scheme '%s'%s%s%s (--help lists all)", name,
          near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}
