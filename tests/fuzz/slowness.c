/* The short languages of --delay, --link-delay, --link-burst, --slow and --depart: the first byte
 * says which. What is taken gives times that can be, and factors of at least 1. */
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "slowness/slowness.h"

enum { RANKS = 9, NUMBERS = 3 };

static void check_delay(const struct delay *d)
{
    for (int rank = 0; rank < RANKS; rank++) {
        if (!(delay_mean(d, rank) >= 0))
            fuzz_defect("a mean delay of %g s", delay_mean(d, rank));
        for (int k = 0; k < 2 * NUMBERS; k++) {
            double seconds = delay_at(d, 1, rank, k / 2 * 1000000007LL, k % 2);
            if (!(seconds >= 0) || !isfinite(seconds))
                fuzz_defect("a delay of %g s", seconds);
        }
    }
}

static void check_links(const char *delay, const char *burst)
{
    const struct link_slowness l = link_slowness_parse(delay, burst, RANKS);
    check_delay(&l.delay);
    for (int rank = 0; rank < RANKS; rank++)
        for (int64_t i = 0; i < NUMBERS; i++)
            if (!(link_factor_at(&l, 1, rank, i) >= 1))
                fuzz_defect("a bandwidth divided by %g", link_factor_at(&l, 1, rank, i));
}

static void check_ranks(const char *slow, const char *depart)
{
    const struct slowness s = slowness_parse(slow, RANKS);
    const struct departures d = departures_parse(depart, RANKS);
    for (int rank = 0; rank < RANKS; rank++)
        if (!(slowness_of(&s, rank) >= 1) || !isfinite(slowness_of(&s, rank)) ||
            !(departure_of(&d, rank) >= 0))
            fuzz_defect("rank %d is %g times slower, and departs after %g", rank,
                        slowness_of(&s, rank), departure_of(&d, rank));
}

static void parse(void *self)
{
    const char *text = self;
    char which = *text ? *text++ : 0;
    if (which == 'd') {
        const struct delay d = delay_parse(text, RANKS);
        check_delay(&d);
    } else if (which == 'l') {
        check_links(text, "");
    } else if (which == 'b') {
        check_links("", text);
    } else if (which == 's') {
        check_ranks(text, "");
    } else {
        check_ranks("", text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = malloc(size + 1);
    memcpy(text, bytes, size);
    text[size] = 0;
    fuzz_try(parse, text);
    free(text);
    return 0;
}
