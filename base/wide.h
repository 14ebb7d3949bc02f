/* Loops at the width of the machine that runs them: compiled for any x86-64 and once more for AVX2, chosen at each call.
 *
 * Not target_clones: the loader would choose before a sanitizer is up. AVX2 without FMA, so both give the same bits; wider gains
 * nothing where memory is the limit. On other machines there is the plain loop alone. */
#ifndef BASE_WIDE_H
#define BASE_WIDE_H

#ifdef __x86_64__
#define WIDE_TARGET __attribute__((target("avx2")))
#define WIDE_HERE __builtin_cpu_supports("avx2")
#else
#define WIDE_TARGET
#define WIDE_HERE 0
#endif

/* Marks the body of a loop, name_loop(), that WIDE(name, ...) below makes the function name() of. */
#define WIDE_LOOP static inline __attribute__((always_inline)) void

#define WIDE(name, parameters, arguments)                                                                                                  \
    WIDE_TARGET static void name##_wide parameters                                                                                         \
    {                                                                                                                                      \
        name##_loop arguments;                                                                                                             \
    }                                                                                                                                      \
    static void name parameters                                                                                                            \
    {                                                                                                                                      \
        if (WIDE_HERE)                                                                                                                     \
            name##_wide arguments;                                                                                                         \
        else                                                                                                                               \
            name##_loop arguments;                                                                                                         \
    }

#endif
