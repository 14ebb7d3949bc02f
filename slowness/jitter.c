/* With v the variance of a log-normal factor's logarithm, 1 + deviation^2 = exp(v). Variances of
 * logarithms add up in a product, so the shares are shares of v. */
#include "slowness/jitter.h"

#include <math.h>

#include "base/random.h"

enum { OWN, HOST };

struct jitter jitter_split(double deviation, double share)
{
    double variance = log1p(deviation * deviation);
    if (share == 0)
        return (struct jitter){.own = deviation};
    return (struct jitter){.own = sqrt(expm1((1 - share) * variance)),
                           .host = sqrt(expm1(share * variance))};
}

static double draw(double deviation, uint64_t seed, int who, int64_t when, int factor)
{
    if (deviation == 0)
        return 1;
    struct random r =
        random_at(RANDOM_JITTER, seed, (uint64_t)who, (uint64_t)when, (uint64_t)factor);
    double variance = log1p(deviation * deviation);
    return exp(sqrt(variance) * random_normal(&r) - variance / 2);
}

double jitter_at(double deviation, uint64_t seed, int rank, int64_t index)
{
    return draw(deviation, seed, rank, index, OWN);
}

double jitter_host_at(double deviation, uint64_t seed, int host, int64_t period)
{
    return draw(deviation, seed, host, period, HOST);
}
