/* Only workers compute: a server that is to be slow would be ignored without a word. */
#include "slowness/slowness.h"

#include "base/check.h"

void slowness_check_servers(const struct delay *delay, const struct slowness *slowness, int servers,
                            int ranks)
{
    for (int i = 0; i < servers; i++) {
        bool delayed = false;
        for (int k = 0; k < delay->terms; k++)
            delayed |= delay->term[k].worker == i;
        if (delayed || slowness_of(slowness, i) > 1)
            fatal("%s: rank %d is a server; only workers, ranks %d to %d, can be slow",
                  delayed ? "--delay" : "--slow", i, servers, ranks - 1);
    }
}
