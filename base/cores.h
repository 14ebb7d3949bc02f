/* How many cores this process may use, and which: counted and pinned by hwloc.
 *
 * A core here is what the system schedules on (a hardware thread). The affinity that the launcher,
 * taskset or a cpuset left says which; a cgroup's quota may allow the time of fewer. Linux. */
#ifndef BASE_CORES_H
#define BASE_CORES_H

#include <stdbool.h>
#include <stddef.h>

/* At least 1: as many as the affinity has, not more than the quota, rounded up, is worth. */
int cores_available(void);

/* "AMD EPYC": the first core's model, as Linux reports it; "unknown". */
void cores_model(char *text, size_t size);

/* CPU time that the cgroups of a process allow, in cores; INFINITY: no limit. `membership`: the
 * text of /proc/PID/cgroup; `root`: where the cgroup file systems are mounted. Version 2 (cpu.max)
 * and 1 (cpu.cfs_quota_us); the least quota on the way up to the root counts. What cannot be read
 * or makes no sense is no limit. */
double cores_quota(const char *membership, const char *root);

/* A set of cores as a value that can be sent to other processes of the host. */
enum { CORE_SET_WORDS = 64 };
struct core_set {
    unsigned long word[CORE_SET_WORDS];
};

struct core_set core_set_own(void); /* this process's affinity */
int core_set_count(const struct core_set *s);
bool core_set_equal(const struct core_set *a, const struct core_set *b);
struct core_set core_set_union(const struct core_set *a, const struct core_set *b);

/* Binds this thread, and those that it starts from now on, to `count` cores of its affinity: the
 * index-th of `parts` such groups, which share no core, each close together (caches, NUMA). Wants
 * parts * count <= cores of the affinity. False: the system refuses. */
bool cores_pin(int index, int parts, int count);

#endif
