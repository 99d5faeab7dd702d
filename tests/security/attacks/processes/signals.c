/* Signals and other reach to processes of the host (VICTIM), to init and to all. */
#include "../attack.h"
#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

static pid_t victim(void) { return target_number("VICTIM"); }
static long done(long result) { return result == -1 ? -1 : 1; }

static long probe(void) { return done(kill(victim(), 0)); }
static long wake(void) { return done(kill(victim(), SIGCONT)); }
static long group(void) { return done(kill(-victim(), 0)); }
static long thread(void) { return done(syscall(SYS_tgkill, victim(), victim(), 0)); }
static long any_thread(void) { return done(syscall(SYS_tkill, victim(), 0)); }
static long queued(void) { return done(sigqueue(victim(), SIGCONT, (union sigval){0})); }

static long by_descriptor(void)
{
    int process = syscall(SYS_pidfd_open, victim(), 0);
    return process < 0 ? -1 : done(syscall(SYS_pidfd_send_signal, process, 0, NULL, 0));
}

/* The kernel sends the signal when the pipe moves, with the owner's rights at that time. */
static long owner_of_a_pipe(int number, pid_t to)
{
    int ends[2];
    if (pipe(ends) != 0 || fcntl(ends[0], F_SETOWN, to) != 0)
        return -1;
    fcntl(ends[0], F_SETSIG, number);
    fcntl(ends[0], F_SETFL, O_ASYNC);
    return write(ends[1], "x", 1);
}

static long owned(void) { return owner_of_a_pipe(SIGCONT, victim()); }

static long priority(void) { return done(getpriority(PRIO_PROCESS, victim())); }
static long scheduler(void) { return done(sched_getscheduler(victim())); }
static long affinity(void)
{
    cpu_set_t all;
    return done(sched_getaffinity(victim(), sizeof all, &all));
}
static long limits(void)
{
    struct rlimit old;
    return done(prlimit(victim(), RLIMIT_NOFILE, NULL, &old));
}
static long session(void) { return done(getsid(victim())); }
static long clock_of(void)
{
    clockid_t clock;
    int number = clock_getcpuclockid(victim(), &clock);
    return number == 0 ? 1 : fail(number);
}
static long futexes(void)
{
    void *head;
    size_t size;
    return done(syscall(SYS_get_robust_list, victim(), &head, &size));
}

static long peek(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", victim(), name);
    return done(open(path, O_RDONLY));
}

static long command_line(void) { return peek("cmdline"); }
static long environment(void) { return peek("environ"); }
static long memory(void) { return peek("mem"); }
static long descriptors(void) { return peek("fd"); }

/* Pid 1 inside; outside, where INIT is 0, a child that may be ended. */
static pid_t init(void)
{
    pid_t pid = target_number("INIT");
    if (pid == 0 && (pid = fork()) == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return pid;
}

static char state_of(pid_t pid)
{
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int file = open(path, O_RDONLY);
    if (file < 0 || read(file, line, sizeof line - 1) < 0)
        return 'X';
    close(file);
    return strrchr(line, ')')[2];
}

static long become(pid_t pid, int number, const char *states)
{
    if (pid < 1 || kill(pid, number) != 0)
        return -1;
    for (int i = 0; i < 100; i++) {
        if (strchr(states, state_of(pid)) != NULL)
            return 1;
        usleep(1000);
    }
    return fail(ECANCELED);
}

/* From inside, init takes only what it has a handler for; whether anything came of the rest is looked at. */
static long to_init(int number, const char *states)
{
    pid_t pid = init();
    long result = become(pid, number, states);
    int error = errno;
    if (pid > 1)
        kill(pid, SIGKILL);
    errno = error;
    return result;
}

static long kill_init(void) { return to_init(SIGKILL, "ZX"); }
static long fault_init(void) { return to_init(SIGSEGV, "ZX"); }
static long alarm_init(void) { return to_init(SIGALRM, "ZX"); }
static long stop_init(void) { return to_init(SIGSTOP, "T"); }

static long real_time(void)
{
    struct sched_param high = {.sched_priority = 1};
    return done(sched_setscheduler(0, SCHED_FIFO, &high));
}

static long deadline(void)
{
    struct { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t runtime, deadline, period; }
        attributes = {.size = 48, .policy = 6, .runtime = 1000000, .deadline = 10000000, .period = 10000000};
    return done(syscall(SYS_sched_setattr, 0, &attributes, 0));
}

static long urgent(void) { return done(setpriority(PRIO_PROCESS, 0, -5)); }
static long urgent_disk(void) { return done(syscall(SYS_ioprio_set, 1, 0, 1 << 13)); }

ATTEMPTS({"probe-the-victim", probe}, {"continue-the-victim", wake}, {"signal-its-group", group},
         {"signal-its-thread", thread}, {"signal-any-thread", any_thread}, {"queue-a-signal", queued},
         {"signal-by-pidfd", by_descriptor}, {"signal-as-owner-of-a-pipe", owned},
         {"ask-its-priority", priority}, {"ask-its-scheduler", scheduler}, {"ask-its-processors", affinity},
         {"ask-its-limits", limits}, {"ask-its-session", session}, {"ask-its-clock", clock_of},
         {"ask-its-futexes", futexes}, {"read-its-command-line", command_line},
         {"read-its-environment", environment}, {"read-its-memory", memory}, {"list-its-descriptors", descriptors},
         {"stop-init", stop_init}, {"fault-init", fault_init}, {"alarm-init", alarm_init}, {"kill-init", kill_init},
         {"real-time", real_time}, {"deadline", deadline}, {"urgent", urgent}, {"urgent-disk", urgent_disk})
