/* What /proc lets one change or read of the machine and of oneself. Nothing is written but to one's own. */
#include "../attack.h"
#include <linux/magic.h>
#include <sys/vfs.h>

/* The file itself, not something that covers it. */
static int real(const char *path, int flags)
{
    struct statfs found;
    int file = open(path, flags | O_CLOEXEC);
    if (file < 0)
        return -1;
    if (fstatfs(file, &found) != 0 || found.f_type != PROC_SUPER_MAGIC)
        return fail(ENODEV);
    return file;
}

static long writable(const char *path) { return real(path, O_WRONLY) == -1 ? -1 : 1; }

static long readable(const char *path)
{
    char text[64];
    int file = real(path, O_RDONLY);
    return file == -1 ? -1 : read(file, text, sizeof text) > 0 ? 1 : fail(ENODATA);
}

static long put(const char *path, const char *text)
{
    int file = real(path, O_WRONLY);
    return file == -1 ? -1 : write(file, text, strlen(text)) == -1 ? -1 : 1;
}

#define WRITE(name, path) static long name(void) { return writable(path); }
#define READ(name, path) static long name(void) { return readable(path); }

WRITE(hostname, "/proc/sys/kernel/hostname")
WRITE(namespaces, "/proc/sys/user/max_user_namespaces")
WRITE(forwarding, "/proc/sys/net/ipv4/ip_forward")
WRITE(messages, "/proc/sys/kernel/shmmax")
WRITE(core_pattern, "/proc/sys/kernel/core_pattern")
WRITE(modprobe, "/proc/sys/kernel/modprobe")
WRITE(overcommit, "/proc/sys/vm/overcommit_memory")
WRITE(caches, "/proc/sys/vm/drop_caches")
WRITE(sysrq, "/proc/sysrq-trigger")
WRITE(affinity, "/proc/irq/default_smp_affinity")
READ(core, "/proc/kcore")
READ(symbols, "/proc/kallsyms")
READ(log_of_kernel, "/proc/kmsg")
READ(command_line, "/proc/cmdline")
READ(timers, "/proc/timer_list")
READ(keys, "/proc/keys")
READ(key_users, "/proc/key-users")
READ(interrupts, "/proc/interrupts")
READ(slabs, "/proc/slabinfo")
READ(allocations, "/proc/vmallocinfo")
READ(page_counts, "/proc/kpagecount")
READ(configuration, "/proc/config.gz")
static long own_score(void) { return put("/proc/self/oom_score_adj", "1000"); }
static long own_old_score(void) { return put("/proc/self/oom_adj", "15"); }
static long own_name(void) { return put("/proc/self/comm", "init"); }
WRITE(own_ids, "/proc/self/uid_map")
WRITE(own_groups, "/proc/self/setgroups")
WRITE(own_clock, "/proc/self/timens_offsets")
WRITE(own_memory, "/proc/self/mem")
WRITE(own_core_filter, "/proc/self/coredump_filter")
WRITE(own_references, "/proc/self/clear_refs")
WRITE(own_slack, "/proc/self/timerslack_ns")

ATTEMPTS({"set-the-hostname", hostname}, {"set-max-user-namespaces", namespaces}, {"set-ip-forward", forwarding},
         {"set-shmmax", messages}, {"set-core-pattern", core_pattern}, {"set-modprobe", modprobe},
         {"set-overcommit", overcommit}, {"drop-caches", caches}, {"sysrq", sysrq}, {"set-irq-affinity", affinity},
         {"read-kcore", core}, {"read-kallsyms", symbols}, {"read-kmsg", log_of_kernel},
         {"read-the-kernels-command-line", command_line}, {"read-timer-list", timers}, {"read-keys", keys},
         {"read-key-users", key_users}, {"read-interrupts", interrupts}, {"read-slabinfo", slabs},
         {"read-vmallocinfo", allocations}, {"read-kpagecount", page_counts}, {"read-config", configuration},
         {"write-own-oom-score", own_score}, {"write-own-oom-adj", own_old_score}, {"write-own-name", own_name},
         {"write-own-uid-map", own_ids}, {"write-own-setgroups", own_groups}, {"write-own-time-offsets", own_clock},
         {"write-own-memory", own_memory}, {"write-own-core-filter", own_core_filter},
         {"write-own-references", own_references}, {"write-own-timer-slack", own_slack})
