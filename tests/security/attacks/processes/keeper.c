/* What can be done to init, pid 1, which keeps the gate and the limits of the server. */
#include "../attack.h"
#include <sched.h>

#define INIT 1

static long on_init(long result)
{
    return result == -1 ? -1 : 1;
}

static long idle(void)
{
    struct sched_param none = {0};
    return on_init(sched_setscheduler(INIT, SCHED_IDLE, &none));
}

static long batch(void)
{
    struct { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t runtime, deadline, period; }
        attributes = {.size = 48, .policy = SCHED_BATCH, .nice = 19};
    return on_init(syscall(SYS_sched_setattr, INIT, &attributes, 0));
}

static long parameters(void)
{
    struct sched_param none = {0};
    return on_init(sched_setparam(INIT, &none));
}

static long pin(void)
{
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(sched_getcpu(), &first);
    return on_init(sched_setaffinity(INIT, sizeof first, &first));
}

static long nicer(void) { return on_init(setpriority(PRIO_PROCESS, INIT, 19)); }
static long nicer_user(void) {
    const int before = getpriority(PRIO_PROCESS, INIT);
    return on_init(setpriority(PRIO_USER, 0, before + 1)) == 1 && getpriority(PRIO_PROCESS, INIT) > before ? 1 : fail(EPERM);
}
static long idle_disk(void) { return on_init(syscall(SYS_ioprio_set, 1, INIT, 3 << 13)); }

static long limit(int resource, rlim_t value)
{
    struct rlimit old, lower = {value, value};
    if (prlimit(INIT, resource, NULL, &old) != 0)
        return -1;
    lower.rlim_max = old.rlim_max;
    return on_init(prlimit(INIT, resource, &lower, NULL));
}

static long read_limits(void)
{
    struct rlimit old;
    return on_init(prlimit(INIT, RLIMIT_NOFILE, NULL, &old));
}

static long few_files(void) { return limit(RLIMIT_NOFILE, 64); }
static long little_time(void) { return limit(RLIMIT_CPU, 100000); }
static long little_memory(void) { return limit(RLIMIT_DATA, 1 << 30); }
static long no_signals(void) { return limit(RLIMIT_SIGPENDING, 16); }

static long touch(const char *path, int flags)
{
    return on_init(open(path, flags));
}

static long memory(void) { return touch("/proc/1/mem", O_RDONLY); }
static long environment(void) { return touch("/proc/1/environ", O_RDONLY); }
static long auxiliary(void) { return touch("/proc/1/auxv", O_RDONLY); }
static long maps(void) { return touch("/proc/1/maps", O_RDONLY); }
static long rollup(void) { return touch("/proc/1/smaps_rollup", O_RDONLY); }
static long stack(void) { return touch("/proc/1/stack", O_RDONLY); }
static long call(void) { return touch("/proc/1/syscall", O_RDONLY); }
static long thread_memory(void) { return touch("/proc/1/task/1/mem", O_RDWR); }
static long root(void) { return touch("/proc/1/root/usr", O_PATH); }
static long folder(void) { return touch("/proc/1/cwd/.", O_PATH); }
static long descriptor(void) { return touch("/proc/1/fd/0", O_PATH); }
static long space(void) { return touch("/proc/1/ns/user", O_RDONLY); }
static long mapped(void) { return touch("/proc/1/map_files", O_RDONLY); }
static long score(void) { return touch("/proc/1/oom_score_adj", O_WRONLY); }
static long rename_it(void) { return touch("/proc/1/comm", O_WRONLY); }
static long forget(void) { return touch("/proc/1/clear_refs", O_WRONLY); }
static long core_filter(void) { return touch("/proc/1/coredump_filter", O_WRONLY); }
static long slack(void) { return touch("/proc/1/timerslack_ns", O_WRONLY); }
static long group(void) { return on_init(setpgid(INIT, 0)); }

ATTEMPTS({"renice-the-user", nicer_user}, {"batch-scheduling-of-init", batch}, {"idle-scheduling-of-init", idle},
         {"scheduling-parameters-of-init", parameters}, {"pin-init-to-a-processor", pin},
         {"renice-init", nicer}, {"idle-disk-for-init", idle_disk},
         {"read-limits-of-init", read_limits}, {"few-files-for-init", few_files},
         {"little-time-for-init", little_time}, {"little-memory-for-init", little_memory},
         {"few-signals-for-init", no_signals}, {"memory-of-init", memory},
         {"environment-of-init", environment}, {"auxiliary-vector-of-init", auxiliary}, {"maps-of-init", maps},
         {"rollup-of-init", rollup}, {"stack-of-init", stack}, {"system-call-of-init", call},
         {"memory-of-inits-thread", thread_memory}, {"root-of-init", root}, {"folder-of-init", folder},
         {"descriptor-of-init", descriptor}, {"namespace-of-init", space}, {"mapped-files-of-init", mapped},
         {"oom-score-of-init", score}, {"name-of-init", rename_it}, {"references-of-init", forget},
         {"core-filter-of-init", core_filter}, {"timer-slack-of-init", slack}, {"group-of-init", group})
