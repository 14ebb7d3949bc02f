/* Interleaved measurements: bench/run starts the programs that are to be compared and lets one
 * after another measure, round after round, so that a machine that slows down slows down all of
 * them.
 *
 * With --turns a program says "ready name=value ...", then answers each line of its input, a number
 * of seconds, by one line of figures (greater is better) that it measured for that long, at least
 * one. A line that is no positive number ends it. */
#ifndef BENCH_TURNS_H
#define BENCH_TURNS_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline double turns_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef double turns_measure(void *self); /* once more */

static inline void turns_answer(double seconds, turns_measure *measure, void *self)
{
    double end = turns_now() + seconds;
    do
        printf("%.6g ", measure(self));
    while (turns_now() < end);
    putchar('\n');
    fflush(stdout);
}

static inline void turns_serve(turns_measure *measure, void *self)
{
    char line[80];
    while (fgets(line, sizeof line, stdin) && strtod(line, NULL) > 0)
        turns_answer(strtod(line, NULL), measure, self);
}

#endif
