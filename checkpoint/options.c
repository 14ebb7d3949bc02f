/* --checkpoint-every: a number of samples, or of seconds with their unit. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "checkpoint/private.h"

static const double most_s = 1e9, most_samples = 1e15;

struct checkpoint_every checkpoint_every_of(const char *text)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"s", 1}, {"m", 60}, {"min", 60}, {"h", 3600}};
    struct checkpoint_every every = {.samples = 0};
    char *end;
    if (!*text)
        return every;
    double number = strtod(text, &end);
    bool valid = end > text && strspn(text, "0123456789.") == (size_t)(end - text) && number > 0;
    for (size_t i = 0; i < sizeof units / sizeof *units && valid; i++)
        if (!strcmp(end, units[i].unit))
            every.seconds = number * units[i].seconds;
    if (valid && !*end && number == floor(number) && number <= most_samples)
        every.samples = (int64_t)number;
    if (every.seconds > most_s || (every.seconds <= 0 && !every.samples))
        fatal("--checkpoint-every: '%s' is neither samples (10000) nor seconds (60s, 10m, 2h)",
              text);
    return every;
}
