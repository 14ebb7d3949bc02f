/* Invariant: a burst draws from random_at(RANDOM_LINK_BURST, seed, rank, index / length, its place
 * in the list) and depends on nothing else. Bursts that meet multiply. */
#include "slowness/link.h"

#include <math.h>

#include "base/random.h"
#include "slowness/reader.h"

static double read_next(struct reader *r, double least, double most)
{
    if (!reader_accept(r, ','))
        reader_refuse(r, "no ','");
    return reader_number(r, least, most);
}

static struct link_burst read_burst(struct reader *r, int ranks)
{
    struct link_burst b = {
        .probability = reader_number(r, 0, 1), .factor = read_next(r, 1, READER_MOST), .rank = -1};
    double length = read_next(r, 1, READER_MOST);
    if (length != floor(length))
        reader_refuse(r, "no whole number");
    b.length = (int64_t)length;
    if (reader_accept(r, '@'))
        b.rank = reader_rank(r, ranks);
    return b;
}

struct link_slowness link_slowness_parse(const char *delay, const char *burst, int ranks)
{
    struct link_slowness l = {.delay = delay_parse_links(delay, ranks)};
    struct reader r = {"--link-burst",
                       "PROBABILITY,FACTOR,LENGTH; those@RANK: that rank's link alone; several: "
                       "separated by ';'",
                       burst, burst};
    if (reader_at_end(&r))
        return l;
    do {
        if (l.bursts == DELAY_TERMS)
            reader_refuse(&r, "too many terms");
        l.burst[l.bursts++] = read_burst(&r, ranks);
    } while (reader_accept(&r, ';'));
    if (!reader_at_end(&r))
        reader_refuse(&r, "something more");
    return l;
}

double link_factor_at(const struct link_slowness *l, uint64_t seed, int rank, int64_t index)
{
    double factor = 1;
    for (int i = 0; i < l->bursts; i++) {
        const struct link_burst *b = &l->burst[i];
        struct random r = random_at(RANDOM_LINK_BURST, seed, (uint64_t)rank,
                                    (uint64_t)(index / b->length), (uint64_t)i);
        if ((b->rank < 0 || b->rank == rank) && random_uniform(&r) < b->probability)
            factor *= b->factor;
    }
    return factor;
}
