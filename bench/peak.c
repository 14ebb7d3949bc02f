/* What the machine's arithmetic units can do: multiply-adds out of registers, nothing read or
 * written.
 *
 *   peak [--threads N] [--dtype f32|bf16] [--turns]     GFLOP/s of all threads together; a table of
 *                                                       its own without arguments
 *
 * Twelve sums hide the latency of two units. float32 in the widest vectors that are there (AVX-512,
 * AVX2 with FMA, else what the compiler makes of 16 bytes); bf16 by AMX's tiles, four sums of them,
 * and as the dot product of AVX-512. The first that a machine has is the one that --turns asks. */
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "bench/turns.h"

#ifdef __x86_64__
#include <immintrin.h>
#include <sys/syscall.h>
#endif

enum {
    SUMS = 12,
    BLOCK = 1 << 20, /* rounds over all sums between two looks at the clock; some milliseconds */
    TILE_BLOCK = BLOCK / 16
};

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

enum { TILES = 8, TILE_ROWS = 16, TILE_FLOPS = 2 * 16 * 16 * 32 };

struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} __attribute__((aligned(64)));

/* Linux grants the registers (XTILEDATA, 18) to a process that asks by ARCH_REQ_XCOMP_PERM. */
static bool has_amx(void)
{
    return __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
           !syscall(SYS_arch_prctl, 0x1023, 18);
}

__attribute__((target("amx-tile,amx-bf16"))) static float bf16_amx(void)
{
    struct tile_shapes shapes = {.palette = 1};
    float sums[TILE_ROWS * 16];
    for (int i = 0; i < TILES; i++) {
        shapes.row_bytes[i] = sizeof sums / TILE_ROWS;
        shapes.rows[i] = TILE_ROWS;
    }
    __asm__ volatile("" : : "r"(&shapes) : "memory"); /* all of it is read */
    _tile_loadconfig(&shapes);                        /* which clears the tiles */
    for (int round = 0; round < TILE_BLOCK; round++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums, sizeof sums / TILE_ROWS);
    _tile_release();
    return sums[0];
}
#endif
#define ADD(s) (s + x * y)
LOOP(f32_plain, __attribute__((optimize("fp-contract=fast"))),
     typedef float vector __attribute__((vector_size(16)));
     const vector zero = {0}; vector x = zero + 1e-3f, y = zero + 1e-4f; OPAQUE(x) OPAQUE(y))
#undef ADD

struct peak {
    const char *name;
    float (*loop)(void);
    double flops; /* of the loop */
    int threads;
};

/* Multiply-adds of vectors of so many floats, the twelve sums. */
static double flops_of(int floats)
{
    return 2.0 * BLOCK * SUMS * floats;
}

/* The widest that this machine runs, with AMX or without; loop NULL: none. */
static struct peak peak_of(const char *dtype, int threads, bool amx)
{
    bool bf16 = !strcmp(dtype, "bf16");
    if (!bf16 && strcmp(dtype, "f32"))
        fatal("--dtype '%s': f32 or bf16", dtype);
#ifdef __x86_64__
    __builtin_cpu_init();
    if (bf16 && amx && has_amx())
        return (struct peak){"AMX bf16 tiles", bf16_amx, 4.0 * TILE_BLOCK * TILE_FLOPS, threads};
    if (bf16 && __builtin_cpu_supports("avx512bf16"))
        return (struct peak){"AVX-512 bf16 dot product", bf16_avx512, flops_of(32), threads};
    if (!bf16 && __builtin_cpu_supports("avx512f"))
        return (struct peak){"AVX-512 FMA", f32_avx512, flops_of(16), threads};
    if (!bf16 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return (struct peak){"AVX2 FMA", f32_avx2, flops_of(8), threads};
#endif
    return bf16 ? (struct peak){.name = "none", .threads = threads}
                : (struct peak){"vectors of 16 bytes", f32_plain, flops_of(4), threads};
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
    return 1e-9 * 4 * p->flops * p->threads / (turns_now() - begin);
}

static void print_peak(const char *dtype, const struct peak *p)
{
    double best = 0;
    for (int i = 0; p->loop && i < 10; i++) {
        double now = measure((void *)p);
        best = now > best ? now : best;
    }
    if (p->loop)
        printf("%-5s %2d thread%s %8.1f GFLOP/s  %s\n", dtype, p->threads,
               p->threads > 1 ? "s" : " ", best, p->name);
    else
        printf("%-5s not on this machine\n", dtype);
}

static void print_table(int most)
{
    static const char *const types[] = {"f32", "bf16"};
    for (int k = 0; k < 2; k++)
        for (int threads = 1; threads <= most; threads += threads < most ? most - 1 : 1) {
            struct peak p = peak_of(types[k], threads, true),
                        second = peak_of(types[k], threads, false);
            print_peak(types[k], &p);
            if (second.loop && second.loop != p.loop)
                print_peak(types[k], &second);
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
    struct peak p = peak_of(dtype, threads, true);
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
