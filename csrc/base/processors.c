/* processors.c - see processors.h */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base/processors.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ----------------------------------------------------------------- the affinity ---- */

#ifdef __linux__
/* The kernel wants a mask for all processors it knows, even if this process may use only a few. */
static uint32_t count_affinity(void)
{
    for (int n = 1024; n <= 1 << 20; n *= 2) {
        cpu_set_t *set = CPU_ALLOC(n);
        int count = 0;
        if (set == NULL)
            return 0;
        if (sched_getaffinity(0, CPU_ALLOC_SIZE(n), set) == 0)
            count = CPU_COUNT_S(CPU_ALLOC_SIZE(n), set);
        CPU_FREE(set);
        if (count > 0)
            return (uint32_t)count;
    }
    return 0;
}
#else
static uint32_t count_affinity(void)
{
    return 0;
}
#endif

/* ------------------------------------------------------------------- the cgroups ---- */

/* Reads the first line of a file in this folder, without its newline. */
static bool read_line(const char *folder, const char *name, char *line, int n)
{
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *in = fopen(path, "re");
    bool is_read = in != NULL && fgets(line, n, in) != NULL;
    if (in != NULL)
        fclose(in);
    if (is_read)
        line[strcspn(line, "\n")] = '\0';
    return is_read;
}

static uint32_t round_up(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return UINT32_MAX; /* "max", -1 */
    long long n = (quota + period - 1) / period;
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static uint32_t quota_v2(const char *folder)
{
    char line[128];
    long long quota, period;
    if (!read_line(folder, "cpu.max", line, sizeof line) ||
        sscanf(line, "%lld %lld", &quota, &period) != 2)
        return UINT32_MAX;
    return round_up(quota, period);
}

static uint32_t quota_v1(const char *folder)
{
    char quota[64], period[64];
    if (!read_line(folder, "cpu.cfs_quota_us", quota, sizeof quota) ||
        !read_line(folder, "cpu.cfs_period_us", period, sizeof period))
        return UINT32_MAX;
    return round_up(atoll(quota), atoll(period));
}

/* The lowest quota of this group and the groups above it, up to the mount point. In a container the
 * group's own folder may be missing: then the groups above it count. */
static uint32_t least_quota(const char *mount, const char *group, uint32_t (*quota)(const char *))
{
    char folder[PATH_MAX];
    size_t n_mount = strlen(mount);
    uint32_t least = UINT32_MAX;
    if ((size_t)snprintf(folder, sizeof folder, "%s%s", mount, group) >= sizeof folder)
        return least;
    for (;;) {
        uint32_t n = quota(folder);
        least = n < least ? n : least;
        char *slash = strrchr(folder, '/');
        if (slash == NULL || (size_t)(slash - folder) < n_mount)
            return least;
        *slash = '\0';
    }
}

static bool has_word(const char *list, size_t n, const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0, k; i < n; i = k + 1) {
        for (k = i; k < n && list[k] != ','; k++)
            ;
        if (k - i == len && memcmp(list + i, word, len) == 0)
            return true;
    }
    return false;
}

/* "0::/a/b" is the line of cgroup v2, "4:cpu,cpuacct:/a/b" the relevant one of v1. */
static uint32_t quota_of_line(const char *root, char *line)
{
    static const char *const mounts_v1[] = {"cpu", "cpu,cpuacct"};
    char mount[PATH_MAX];
    char *names = strchr(line, ':'), *group = names != NULL ? strchr(names + 1, ':') : NULL;
    uint32_t least = UINT32_MAX, n;
    if (group == NULL)
        return least;
    size_t n_names = (size_t)(group++ - ++names);
    group[strcspn(group, "\n")] = '\0';
    if (n_names == 0) {
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup", root);
        return least_quota(mount, group, quota_v2);
    }
    for (size_t i = 0; has_word(names, n_names, "cpu") && i < 2; i++) {
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/%s", root, mounts_v1[i]);
        n = least_quota(mount, group, quota_v1);
        least = n < least ? n : least;
    }
    return least;
}

uint32_t processors_of_cgroup(const char *root)
{
    char line[PATH_MAX + 64];
    uint32_t least = UINT32_MAX;
    snprintf(line, sizeof line, "%s/proc/self/cgroup", root);
    FILE *in = fopen(line, "re");
    while (in != NULL && fgets(line, sizeof line, in) != NULL) {
        uint32_t n = quota_of_line(root, line);
        least = n < least ? n : least;
    }
    if (in != NULL)
        fclose(in);
    return least;
}

uint32_t processors_available(void)
{
    uint32_t n = count_affinity(), quota = processors_of_cgroup("");
    long online = n == 0 ? sysconf(_SC_NPROCESSORS_ONLN) : 0;
    if (online > 0 && online < INT_MAX)
        n = (uint32_t)online;
    n = quota < n ? quota : n;
    return n > 0 ? n : 1;
}
