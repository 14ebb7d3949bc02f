/* Schemes that are broken on purpose, each so that one invariant of tests/soak.h cannot hold. */
#ifndef TESTS_SOAK_BROKEN_H
#define TESTS_SOAK_BROKEN_H

#include "scheme/scheme.h"

struct soak_broken {
    const char *invariant; /* as tests/soak.h names it */
    struct scheme scheme;  /* under the name of one that takes its options */
};

extern const struct soak_broken soak_broken[]; /* the last one has no invariant */

#endif
