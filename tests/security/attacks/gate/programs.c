/* Ways to execute a second program. Each is tried alone: the program that is executed says that it was. */
#include "../attack.h"
#include <pthread.h>
#include <spawn.h>
#include <time.h>

#ifdef __x86_64__
#define LOADER "/lib64/ld-linux-x86-64.so.2"
#else
#define LOADER "/lib/ld-linux-aarch64.so.1"
#endif

extern char **environ;
static const char *name;
static char own[4096];

/* What the program that is executed prints, which is all that counts as success. */
static char **arguments(const char *first)
{
    static char line[128];
    static char *list[4];
    snprintf(line, sizeof line, "%s got: 1", name);
    list[0] = (char *)first;
    list[1] = line;
    return list;
}

static long again(void) { return execve(own, arguments(own), environ); }
static long system_program(void) { return execve("/bin/echo", arguments("echo"), environ); }
static long own_link(void) { return execve("/proc/self/exe", arguments(own), environ); }
static long at(int folder, const char *path, int flags) { return syscall(SYS_execveat, folder, path, arguments(own), environ, flags); }
/* An absolute path makes the folder's descriptor meaningless. */
static long absolute_at(void) { return at(99, own, 0); }
static long absolute_at_cwd(void) { return at(AT_FDCWD, own, 0); }
static long empty_at(void) { return at(open(own, O_RDONLY), "", AT_EMPTY_PATH); }
static long path_at(void) { return at(open(own, O_PATH), "", AT_EMPTY_PATH); }
static long high_at(void) { return at(fcntl(open(own, O_PATH), F_DUPFD, 200), "", AT_EMPTY_PATH); }

static long by_descriptor(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", open(own, O_RDONLY));
    return execve(path, arguments(own), environ);
}

static int copy_in_memory(void)
{
    static char data[1 << 20];
    int from = open(own, O_RDONLY), to = memfd_create("program", 0);
    ssize_t size = read(from, data, sizeof data);
    return to < 0 || write(to, data, size) != size ? -1 : to;
}

static long from_memory(void) { return at(copy_in_memory(), "", AT_EMPTY_PATH); }

static long from_memory_by_name(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", copy_in_memory());
    return execve(path, arguments(own), environ);
}

static long by_loader(void)
{
    char **list = arguments(own);
    char *loaded[] = {LOADER, own, list[1], NULL};
    return execve(LOADER, loaded, environ);
}

static long by_shell(void)
{
    char command[256];
    snprintf(command, sizeof command, "echo '%s got: 1'", name);
    return execl("/bin/sh", "sh", "-c", command, NULL);
}

static void *in_thread(void *result)
{
    *(long *)result = system_program() == -1 ? errno : 0;
    return NULL;
}

static long by_thread(void)
{
    pthread_t thread;
    long number;
    pthread_create(&thread, NULL, in_thread, &number);
    pthread_join(thread, NULL);
    return fail(number);
}

static void *many_times(void *result)
{
    for (int i = 0; i < 10; i++)
        *(long *)result = system_program() == -1 ? errno : 0;
    return NULL;
}

/* A gate that answers one caller with what it decided about another would let one of these pass. */
static long by_threads_at_once(void)
{
    pthread_t threads[8];
    long number;
    for (int i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, many_times, &number);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    return fail(number);
}

static void ignore(int number) { (void)number; }

/* Signals interrupt the question to the gate, and the call is asked about anew. SIGURG, since it does not
 * kill the program that is executed. */
static long between_signals(void)
{
    struct sigaction action = {.sa_handler = ignore, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGURG};
    struct itimerspec often = {{0, 300000}, {0, 300000}};
    timer_t timer;
    sigaction(SIGURG, &action, NULL);
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &often, NULL);
    long number = 0;
    for (int i = 0; i < 80; i++)
        number = system_program() == -1 ? errno : 0;
    timer_delete(timer);
    return fail(number);
}

static long failing_first(void)
{
    execve("/none", arguments("none"), environ);
    return system_program();
}

static long spawned(void)
{
    pid_t child;
    int number = posix_spawn(&child, "/bin/echo", NULL, NULL, arguments("echo"), environ);
    if (number != 0)
        return fail(number);
    waitpid(child, NULL, 0);
    exit(0);
}

static long vforked(void)
{
    pid_t child = vfork();
    if (child < 0)
        return -1;
    if (child == 0)
        _exit(system_program());
    waitpid(child, NULL, 0);
    exit(0);
}

static long by_system(void)
{
    char command[256];
    snprintf(command, sizeof command, "echo '%s got: 1'", name);
    errno = 0;
    return system(command) == 0 ? 1 : fail(EPERM);
}

static long by_popen(void)
{
    FILE *pipe = popen("echo yes", "r");
    return pipe == NULL ? -1 : fgetc(pipe) == 'y';
}

static const struct attempt ways[] = {
    {"execve-again", again}, {"execve-system-program", system_program}, {"execve-proc-self-exe", own_link},
    {"execveat-absolute", absolute_at}, {"execveat-absolute-cwd", absolute_at_cwd},
    {"execveat-empty-path", empty_at}, {"execveat-o-path", path_at}, {"execveat-high-descriptor", high_at},
    {"execve-proc-self-fd", by_descriptor}, {"execveat-memfd", from_memory},
    {"execve-memfd-by-name", from_memory_by_name}, {"execve-loader", by_loader}, {"execve-shell", by_shell},
    {"execve-in-a-thread", by_thread}, {"execve-threads-at-once", by_threads_at_once},
    {"execve-between-signals", between_signals}, {"execve-after-a-failure", failing_first},
    {"posix-spawn", spawned}, {"vfork-and-execve", vforked}, {"system", by_system}, {"popen", by_popen},
};

int main(int argc, char **argv)
{
    if (strchr(argv[1], ':') != NULL) {
        printf("%s\nend\n", argv[1]);
        return 0;
    }
    name = argv[1];
    if (readlink("/proc/self/exe", own, sizeof own - 1) < 0)
        return 1;
    return run_attempts(ways, sizeof ways / sizeof *ways, argc, argv);
}
