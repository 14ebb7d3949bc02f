/* What runs ran on, in one line: of the heads of their rows. As plots/head.gp says it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "report/source.h"

enum { LIST = 1000 };

/* Adds `text` to the list, with a comma before it, unless it is one of the list. */
static void add(char list[LIST], const char *text)
{
    size_t length = strlen(text);
    for (const char *at = list; *text && (at = strstr(at, text)); at++)
        if ((at == list || at[-1] == ' ') && (!at[length] || at[length] == ','))
            return;
    size_t used = strlen(list);
    if (*text && used + length + 3 < LIST)
        snprintf(list + used, LIST - used, "%s%s", used ? ", " : "", text);
}

static const char *machine_of(const char *head, char text[LIST])
{
    char host[200], cores[50], cpu[200], machine[300];
    head_value(head, "world", text, LIST);
    if (!strcmp(text, "sim")) {
        head_value(head, "machine", machine, sizeof machine);
        head_value(head, "sim-latency", host, sizeof host);
        head_value(head, "sim-bandwidth", cores, sizeof cores);
        if (*machine)
            snprintf(text, LIST, "simulated network (%s)",
                     strrchr(machine, '/') ? strrchr(machine, '/') + 1 : machine);
        else
            snprintf(text, LIST, "simulated network (%s s; %s B/s)", host, cores);
        return text;
    }
    head_value(head, "host", host, sizeof host);
    head_value(head, "cores", cores, sizeof cores);
    head_value(head, "cpu", cpu, sizeof cpu);
    size_t used = strlen(text);
    snprintf(text + used, LIST - used, " on %s (%s cores%s%s)", host, *cores ? cores : "?",
             *cpu ? "; " : "", cpu);
    return text;
}

static const char *workers_of(const char *head, char text[LIST])
{
    char ranks[32], servers[32];
    head_value(head, "ranks", ranks, sizeof ranks);
    head_value(head, "servers", servers, sizeof servers);
    if (atoi(ranks) > 1)
        snprintf(text, LIST, "%d", atoi(ranks) - atoi(servers));
    else
        head_value(head, "workers", text, LIST);
    return text;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* "1 to 10, 12" */
static void add_seeds(const struct source *s, int case_at, char list[LIST])
{
    enum { MOST = 4096 };
    int64_t seed[MOST] = {0};
    int count = 0;
    char text[60];
    for (int i = 0; i < s->count && count < MOST; i++)
        if (*s->runs[i].head && (case_at < 0 || s->runs[i].case_at == case_at))
            seed[count++] = s->runs[i].seed;
    qsort(seed, (size_t)count, sizeof *seed, by_number);
    for (int from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && seed[to] - seed[to - 1] <= 1; to++)
            continue;
        snprintf(text, sizeof text, seed[to - 1] > seed[from] ? "%lld to %lld" : "%lld",
                 (long long)seed[from], (long long)seed[to - 1]);
        add(list, text);
    }
}

void source_footer(const struct source *s, int case_at, char *text, size_t size)
{
    char networks[LIST] = "", machines[LIST] = "", workers[LIST] = "", seeds[LIST] = "",
         value[LIST];
    for (int i = 0; i < s->count; i++) {
        const struct run *r = &s->runs[i];
        if (!*r->head || (case_at >= 0 && r->case_at != case_at))
            continue;
        add(networks, head_value(r->head, "network", value, sizeof value));
        add(machines, machine_of(r->head, value));
        add(workers, workers_of(r->head, value));
    }
    add_seeds(s, case_at, seeds);
    snprintf(text, size, "%s; %s; %s %s; %s %s", *networks ? networks : "no run",
             *machines ? machines : "nowhere", *workers ? workers : "0",
             strcmp(workers, "1") ? "workers" : "worker", strpbrk(seeds, " ,") ? "seeds" : "seed",
             seeds);
}

double slow_factor(const char *head)
{
    size_t size = strlen(head) + 1; /* a line of all workers may be long */
    char *text = xcalloc(size, 1);
    double most = 1;
    head_value(head, "slow", text, size);
    for (const char *at = text; (at = strchr(at, '=')); at++)
        most = fmax(most, strtod(at + 1, NULL));
    xfree(text);
    return most;
}
