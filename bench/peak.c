/* What the machine's arithmetic units can do: multiply-adds out of registers, nothing read or
 * written.
 *
 *   peak [--threads N] [--dtype f32|bf16] [--turns]     GFLOP/s of all threads together; a table of
 *                                                       its own without arguments
 *
 * Twelve sums hide the latency of two units. float32 in the widest vectors that are there (AVX-512,
 * AVX2 with FMA, else what the compiler makes of 16 bytes); bf16 only as the dot product of
 * AVX-512. AMX is not tried: where a library uses it, a share of this peak may pass 100 %. */
#include <getopt.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "bench/turns.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

enum {
    SUMS = 12,
    BLOCK = 1 << 20
}; /* BLOCK: rounds over all sums between two looks at the clock; some milliseconds */

#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define DECLARE(i) vector s##i = zero;
#define OPAQUE(v)                                                                                  \
    __asm__("" : "+m"(v)); /* else the compiler sees that all sums are equal, and keeps one */
#define HIDE(i) OPAQUE(s##i)
#define STEP(i) s##i = ADD(s##i);
#define GATHER(i) sum += s##i[0];

/* A function of BLOCK x SUMS multiply-adds on vectors; what it returns keeps the compiler from
 * leaving them out. */
#define LOOP(name, attributes, ...)                                                                \
    attributes static float name(void)                                                             \
    {                                                                                              \
        __VA_ARGS__                                                                                \
        float sum = 0;                                                                             \
        TWELVE(DECLARE)                                                                            \
        TWELVE(HIDE)                                                                               \
        for (int round = 0; round < BLOCK; round++) {                                              \
            TWELVE(STEP)                                                                           \
        }                                                                                          \
        TWELVE(GATHER)                                                                             \
        return sum;                                                                                \
    }

#ifdef __x86_64__
#define ADD(s) _mm512_fmadd_ps(x, y, s)
LOOP(f32_avx512, __attribute__((target("avx512f"))), typedef __m512 vector;
     const vector zero = _mm512_setzero_ps();
     vector x = _mm512_set1_ps(1e-3f), y = _mm512_set1_ps(1e-4f);)
#undef ADD
#define ADD(s) _mm256_fmadd_ps(x, y, s)
LOOP(f32_avx2, __attribute__((target("avx2,fma"))), typedef __m256 vector;
     const vector zero = _mm256_setzero_ps();
     vector x = _mm256_set1_ps(1e-3f), y = _mm256_set1_ps(1e-4f);)
#undef ADD
#define ADD(s) _mm512_dpbf16_ps(s, x, y)
LOOP(bf16_avx512, __attribute__((target("avx512f,avx512bf16"))), typedef __m512 vector;
     const vector zero = _mm512_setzero_ps(); __m512bh x = _mm512_cvtne2ps_pbh(zero, zero), y = x;)
#undef ADD
#endif
#define ADD(s) (s + x * y)
LOOP(f32_plain, __attribute__((optimize("fp-contract=fast"))),
     typedef float vector __attribute__((vector_size(16)));
     const vector zero = {0}; vector x = zero + 1e-3f, y = zero + 1e-4f; OPAQUE(x) OPAQUE(y))
#undef ADD

struct peak {
    const char *name;
    float (*loop)(void);
    int flops; /* of one multiply-add on vectors */
    int threads;
};

/* The widest that this machine runs; loop NULL: none. */
static struct peak peak_of(const char *dtype, int threads)
{
    bool bf16 = !strcmp(dtype, "bf16");
    if (!bf16 && strcmp(dtype, "f32"))
        fatal("--dtype '%s': f32 or bf16", dtype);
#ifdef __x86_64__
    __builtin_cpu_init();
    if (bf16 && __builtin_cpu_supports("avx512bf16"))
        return (struct peak){"AVX-512 bf16 dot product", bf16_avx512, 64, threads};
    if (!bf16 && __builtin_cpu_supports("avx512f"))
        return (struct peak){"AVX-512 FMA", f32_avx512, 32, threads};
    if (!bf16 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return (struct peak){"AVX2 FMA", f32_avx2, 16, threads};
#endif
    return bf16 ? (struct peak){.name = "none", .threads = threads}
                : (struct peak){"vectors of 16 bytes", f32_plain, 8, threads};
}

static double measure(void *self)
{
    const struct peak *p = self;
    double begin = turns_now();
    float sum = 0;
#pragma omp parallel num_threads(p->threads) reduction(+ : sum)
    for (int i = 0; i < 4; i++)
        sum += p->loop();
    volatile float kept = sum;
    (void)kept;
    return 1e-9 * 4 * BLOCK * SUMS * (double)p->flops * p->threads / (turns_now() - begin);
}

static void print_table(int most)
{
    static const char *const types[] = {"f32", "bf16"};
    for (int k = 0; k < 2; k++)
        for (int threads = 1; threads <= most; threads += threads < most ? most - 1 : 1) {
            struct peak p = peak_of(types[k], threads);
            double best = 0;
            for (int i = 0; p.loop && i < 10; i++) {
                double now = measure(&p);
                best = now > best ? now : best;
            }
            if (p.loop)
                printf("%-5s %2d thread%s %8.1f GFLOP/s  %s\n", types[k], threads,
                       threads > 1 ? "s" : " ", best, p.name);
            else
                printf("%-5s not on this machine\n", types[k]);
        }
}

int main(int argc, char **argv)
{
    static const struct option words[] = {
        {"threads", 1, NULL, 't'}, {"dtype", 1, NULL, 'd'}, {"turns", 0, NULL, 'T'}, {0}};
    int threads = (int)sysconf(_SC_NPROCESSORS_ONLN), word;
    const char *dtype = "f32";
    bool turns = false;
    while ((word = getopt_long(argc, argv, "", words, NULL)) != -1) {
        if (word == '?')
            return EXIT_USER;
        threads = word == 't' ? atoi(optarg) : threads;
        dtype = word == 'd' ? optarg : dtype;
        turns = turns || word == 'T';
    }
    if (threads < 1)
        fatal("--threads: take at least 1");
    struct peak p = peak_of(dtype, threads);
    if (!turns) {
        print_table(threads);
        return 0;
    }
    if (!p.loop)
        fatal("no peak of %s on this machine", dtype);
    measure(&p);
    printf("ready kind=%s\n", p.name);
    fflush(stdout);
    turns_serve(measure, &p);
    return 0;
}
