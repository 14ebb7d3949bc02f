/* Loops at the width of the machine that runs them: compiled for any x86-64 and once more for AVX2,
 * chosen at each call.
 *
 * Not target_clones: the loader would choose before a sanitizer is up. AVX2 without FMA, so both
 * give the same bits; wider gains nothing where memory is the limit. On other machines there is the
 * plain loop alone. */
#ifndef BASE_SIMD_H
#define BASE_SIMD_H

#ifdef __x86_64__
#define SIMD_TARGET __attribute__((target("avx2")))
#define SIMD_AVAILABLE __builtin_cpu_supports("avx2")
#else
#define SIMD_TARGET
#define SIMD_AVAILABLE 0
#endif

/* Marks the body of a loop, name_loop(), that SIMD(name, ...) below makes the function name()
 * of. */
#define SIMD_LOOP static inline __attribute__((always_inline)) void

#define SIMD(name, parameters, arguments)                                                          \
    SIMD_TARGET static void name##_wide parameters                                                 \
    {                                                                                              \
        name##_loop arguments;                                                                     \
    }                                                                                              \
    static void name parameters                                                                    \
    {                                                                                              \
        if (SIMD_AVAILABLE)                                                                        \
            name##_wide arguments;                                                                 \
        else                                                                                       \
            name##_loop arguments;                                                                 \
    }

#endif
