/* Cost: hwloc reads /sys once a call, some milliseconds. */
#define _GNU_SOURCE
#include "base/cores.h"

#include <assert.h>
#include <hwloc.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

enum { PATH_SIZE = 4096 };

static const char plugins[] = "HWLOC_PLUGINS_PATH";

/* hwloc's plugins look for OpenCL, OpenGL and PCI devices. They cost time and memory, and say
 * nothing of cores: they are not loaded, unless the user names them. */
static void init_without_plugins(hwloc_topology_t *topology)
{
    bool named = getenv(plugins);
    if (!named)
        setenv(plugins, "/dev/null", 1);
    CHECK(!hwloc_topology_init(topology), "no memory for hwloc");
    if (!named)
        unsetenv(plugins);
}

/* The topology, restricted to this process's affinity: what is not in it does not exist. */
static hwloc_topology_t own_topology(void)
{
    hwloc_topology_t topology;
    hwloc_cpuset_t own = hwloc_bitmap_alloc();
    CHECK(own, "no memory for hwloc");
    init_without_plugins(&topology);
    /* That component would move this thread from core to core; /sys says all that is needed. */
    hwloc_topology_set_components(topology, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
    CHECK(!hwloc_topology_load(topology), "hwloc cannot read this machine's topology (/sys)");
    if (!hwloc_get_cpubind(topology, own, HWLOC_CPUBIND_THREAD) && !hwloc_bitmap_iszero(own))
        hwloc_topology_restrict(topology, own, 0); /* an error leaves it as it was */
    hwloc_bitmap_free(own);
    return topology;
}

struct core_set core_set_own(void)
{
    struct core_set s;
    hwloc_topology_t topology = own_topology();
    hwloc_const_cpuset_t set = hwloc_topology_get_allowed_cpuset(topology);
    for (unsigned i = 0; i < CORE_SET_WORDS; i++)
        s.word[i] = hwloc_bitmap_to_ith_ulong(set, i);
    hwloc_topology_destroy(topology);
    return s;
}

int core_set_count(const struct core_set *s)
{
    int count = 0;
    for (int i = 0; i < CORE_SET_WORDS; i++)
        count += __builtin_popcountl(s->word[i]);
    return count;
}

bool core_set_equal(const struct core_set *a, const struct core_set *b)
{
    return !memcmp(a, b, sizeof *a);
}

struct core_set core_set_union(const struct core_set *a, const struct core_set *b)
{
    struct core_set s;
    for (int i = 0; i < CORE_SET_WORDS; i++)
        s.word[i] = a->word[i] | b->word[i];
    return s;
}

bool cores_pin(int index, int parts, int count)
{
    hwloc_topology_t topology = own_topology();
    int all = parts * count;
    hwloc_cpuset_t *one = xcalloc((size_t)all, sizeof *one), mine = hwloc_bitmap_alloc();
    hwloc_obj_t root = hwloc_get_root_obj(topology);
    assert(index >= 0 && index < parts && count > 0);
    /* Neighbours in the list are neighbours in the machine. */
    bool spread = !hwloc_distrib(topology, &root, 1, one, (unsigned)all, INT_MAX, 0);
    for (int i = 0; spread && i < count; i++) {
        hwloc_bitmap_singlify(one[index * count + i]);
        hwloc_bitmap_or(mine, mine, one[index * count + i]);
    }
    bool done = spread && hwloc_bitmap_weight(mine) == count &&
                !hwloc_set_cpubind(topology, mine, HWLOC_CPUBIND_THREAD);
    for (int i = 0; spread && i < all; i++)
        hwloc_bitmap_free(one[i]);
    hwloc_bitmap_free(mine);
    hwloc_topology_destroy(topology);
    xfree(one);
    return done;
}

/* ---- quotas */

/* Reads up to two numbers of the file ROOT/CONTROLLER/GROUP/NAME; a word that is no number ("max")
 * ends it. */
static int read_numbers(const char *folder, const char *name, double number[2])
{
    char path[PATH_SIZE + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    int count = fscanf(file, "%lf %lf", &number[0], &number[1]);
    fclose(file);
    return count;
}

static double cores_of(double quota, double period)
{
    return quota > 0 && period > 0 && isfinite(quota / period) ? quota / period : INFINITY;
}

/* One group's own limit, in whichever version's files are there. */
static double group_quota(const char *folder)
{
    double number[2], period[2];
    if (read_numbers(folder, "cpu.max", number) == 2)
        return cores_of(number[0], number[1]);
    if (read_numbers(folder, "cpu.cfs_quota_us", number) >= 1 &&
        read_numbers(folder, "cpu.cfs_period_us", period) >= 1)
        return cores_of(number[0], period[0]);
    return INFINITY;
}

/* From the group up to the mount: each limits all below it. In a container the upper ones are out
 * of sight, and the group's name may be that of another name space: then the mount itself counts.
 */
static double least_quota(const char *mount, const char *group)
{
    char folder[PATH_SIZE];
    double least = INFINITY;
    int length = snprintf(folder, sizeof folder, "%s%s", mount, group);
    if (length < 0 || (size_t)length >= sizeof folder)
        return group_quota(mount);
    for (size_t top = strlen(mount); strlen(folder) > top; *strrchr(folder, '/') = '\0')
        least = fmin(least, group_quota(folder));
    return fmin(least, group_quota(mount));
}

/* "cpu" among the controllers "cpu,cpuacct" of version 1. */
static bool has_cpu(const char *list)
{
    for (const char *word = list; word; word = strchr(word, ',') ? strchr(word, ',') + 1 : NULL)
        if (!strncmp(word, "cpu", 3) && (word[3] == ',' || word[3] == '\0'))
            return true;
    return false;
}

/* A line of the membership: "0::/group" (version 2) or "4:cpu,cpuacct:/group" (version 1). */
static double line_quota(char *line, const char *root)
{
    char mount[PATH_SIZE];
    char *list = strchr(line, ':'), *group = list ? strchr(list + 1, ':') : NULL;
    if (!group || group[1] != '/')
        return INFINITY;
    *group++ = '\0';
    list++;
    if (!*list) {
        snprintf(mount, sizeof mount, "%s/unified", root); /* where both versions are mounted */
        return fmin(least_quota(root, group), least_quota(mount, group));
    }
    if (!has_cpu(list))
        return INFINITY;
    snprintf(mount, sizeof mount, "%s/%s", root, list);
    double quota = least_quota(mount, group);
    snprintf(mount, sizeof mount, "%s/cpu", root); /* the usual link to it */
    return fmin(quota, least_quota(mount, group));
}

double cores_quota(const char *membership, const char *root)
{
    double least = INFINITY;
    char *copy = strdup(membership), *save = NULL;
    CHECK(copy, "no memory for a text");
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        least = fmin(least, line_quota(line, root));
    free(copy);
    return least;
}

int cores_available(void)
{
    char membership[2 * PATH_SIZE] = "";
    struct core_set own = core_set_own();
    int cores = core_set_count(&own);
    FILE *file = fopen("/proc/self/cgroup", "r");
    if (file) {
        size_t length = fread(membership, 1, sizeof membership - 1, file);
        membership[length] = '\0';
        fclose(file);
    }
    double quota = ceil(cores_quota(membership, "/sys/fs/cgroup") - 1e-6);
    if (quota < cores)
        cores = quota > 1 ? (int)quota : 1;
    return cores > 0 ? cores : 1;
}

void cores_model(char *text, size_t size)
{
    char line[256], name[100] = "unknown";
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file) && line[0] != '\n')
        sscanf(line, "model name : %99[^\n]", name);
    if (file)
        fclose(file);
    snprintf(text, size, "%s", name);
}
