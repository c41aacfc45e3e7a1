/* processors_test.c - quotas of cgroups, and what is available. */
#include "base/processors.h"
#include "scratch.h"
#include "tap.h"

#include <sched.h>

/* Writes a file below the folder of the test, with all folders on the way. */
static void put(const char *path, const char *text)
{
    char folder[600];
    snprintf(folder, sizeof folder, "%s", scratch_path(path));
    for (char *slash = folder + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(folder, 0700);
        *slash = '/';
    }
    scratch_write(folder, text);
}

static void empty(void)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch_dir);
    if (scratch_dir[0] != '\0' && system(command) == 0)
        scratch_dir[0] = '\0';
    put("proc/self/x", "");
}

static uint32_t quota(void)
{
    scratch_path("");
    return processors_of_cgroup(scratch_dir);
}

static void version_2(void)
{
    empty();
    is_int(quota(), UINT32_MAX, "no cgroup");
    put("proc/self/cgroup", "0::/a.slice/b\n");
    is_int(quota(), UINT32_MAX, "none that can be seen");
    put("sys/fs/cgroup/a.slice/b/cpu.max", "max 100000\n");
    is_int(quota(), UINT32_MAX, "no quota");
    put("sys/fs/cgroup/a.slice/b/cpu.max", "250000 100000\n");
    is_int(quota(), 3, "two and a half");
    put("sys/fs/cgroup/a.slice/b/cpu.max", "200000 100000\n");
    is_int(quota(), 2, "two");
    put("sys/fs/cgroup/a.slice/b/cpu.max", "1000 100000\n");
    is_int(quota(), 1, "next to nothing");
    put("sys/fs/cgroup/a.slice/b/cpu.max", "800000 100000\n");
    put("sys/fs/cgroup/a.slice/cpu.max", "400000 100000\n");
    is_int(quota(), 4, "less further up");
    put("sys/fs/cgroup/cpu.max", "150000 50000\n");
    is_int(quota(), 3, "at the top, as in a container");
    put("sys/fs/cgroup/cpu.max", "garbage\n");
    is_int(quota(), 4, "what is no quota is none");
}

static void version_1(void)
{
    empty();
    put("proc/self/cgroup",
        "5:memory:/m\n4:cpuset,cpu,cpuacct:/docker/x\n1:name=systemd:/\n0::/\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    is_int(quota(), UINT32_MAX, "no quota");
    put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "150000\n");
    is_int(quota(), 2, "that of a container whose own folder is out of sight");
    put("sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "50000\n");
    put("sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n");
    is_int(quota(), 1, "the other name of the folder");
    put("proc/self/cgroup", "4:cpuset:/docker/x\n");
    is_int(quota(), UINT32_MAX, "cpuset is another controller");
}

#ifdef __linux__
static int on_one(void *arg)
{
    cpu_set_t all, one;
    (void)arg;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof all, &all) != 0)
        return 2;
    for (size_t i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &all)) {
            CPU_SET(i, &one);
            break;
        }
    return sched_setaffinity(0, sizeof one, &one) == 0 && processors_available() == 1 ? 0 : 1;
}
#endif

int main(void)
{
    version_2();
    version_1();
    ok(processors_available() >= 1, "there is one");
#ifdef __linux__
    ok(in_child(on_one, NULL) == 0, "bound to one processor, one is available");
#endif
    empty();
    rmdir(scratch_path("proc/self"));
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch_dir);
    ok(system(command) == 0, "all is tidy");
    return done_testing();
}
