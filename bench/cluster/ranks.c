#include "bench/cluster/ranks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double quantile(double *list, int count, double part)
{
    qsort(list, (size_t)count, sizeof *list, by_size);
    return list[(int)(part * count)];
}

void tell(struct net *net, int to, double value)
{
    struct header header = {.tag = TAG_WORD};
    header_pack(&header, value);
    net_send(net, to, &header, NULL, 0);
}

double hear(struct net *net, int from)
{
    struct request *come = net_recv(net, from, TAG_WORD, NULL, 0);
    net_wait(net, &come, 1, INFINITY);
    double value;
    header_unpack(net_header(come), value);
    net_release(net, come);
    return value;
}

void give(struct net *net, int to, const void *vector)
{
    struct request *sent =
        net_send(net, to, &(struct header){.tag = TAG_VECTOR}, vector, VECTOR_BYTES);
    net_wait(net, &sent, 1, INFINITY);
    net_release(net, sent);
}

void get(struct net *net, int from, void *into)
{
    struct request *come = net_recv(net, from, TAG_VECTOR, into, VECTOR_BYTES);
    net_wait(net, &come, 1, INFINITY);
    net_release(net, come);
}

bool same_host(struct net *net, int a, int b)
{
    return !strcmp(net_host(net, a), net_host(net, b));
}

int member(struct net *net, int host_of, int number)
{
    for (int r = 0; r < net->ranks; r++)
        if (same_host(net, r, host_of) && number-- == 0)
            return r;
    return NET_ANY;
}
