/* Ways to more processes than are allowed: how many of TRIES exist at a time, beside this one. */
#include "../attack.h"
#include <pthread.h>
#include <sched.h>
#include <sys/ptrace.h>

#define TRIES 24

static _Noreturn void rest(void)
{
    for (;;)
        pause();
}

static long by_fork(void) { return fork(); }
static long by_clone(void) { return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }
static long without_signal(void) { return syscall(SYS_clone, 0, 0, 0, 0, 0); }
static long untraced(void) { return syscall(SYS_clone, 0x00800000 | SIGCHLD, 0, 0, 0, 0); }
static long high_bits(void) { return syscall(SYS_clone, 1ul << 32 | SIGCHLD, 0, 0, 0, 0); }

/* Memory is shared, so that a child of this kind looks like a thread; it has a stack of its own. */
static int sleeper(void *unused)
{
    (void)unused;
    rest();
}

static long sharing_memory(void)
{
    char *stack = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return clone(sleeper, stack + 16384, CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_SIGHAND | SIGCHLD, NULL);
}

static long count(long (*make)(void))
{
    long made = 0;
    for (int i = 0; i < TRIES; i++) {
        long child = make();
        if (child == 0)
            rest();
        if (child > 0)
            made++;
    }
    return made > 0 ? made : -1;
}

static long forks(void) { return count(by_fork); }
static long clones(void) { return count(by_clone); }
static long silent_clones(void) { return count(without_signal); }
static long untraced_clones(void) { return count(untraced); }
static long clones_with_high_bits(void) { return count(high_bits); }
static long clones_sharing_memory(void) { return count(sharing_memory); }

/* Each child makes the next: nobody has more than one. */
static long chain(void)
{
    int counted[2];
    char link;
    long made = 0;
    if (pipe(counted) != 0)
        return -1;
    if (fork() == 0) {
        for (int i = 0; i < TRIES; i++) {
            if (write(counted[1], ".", 1) != 1 || i == TRIES - 1 || fork() != 0)
                break;
        }
        close(counted[0]);
        close(counted[1]);
        rest();
    }
    /* The last link keeps quiet, so wait for the pipe to run dry. */
    fcntl(counted[0], F_SETFL, O_NONBLOCK);
    for (int quiet = 0; quiet < 50; quiet++) {
        while (read(counted[0], &link, 1) == 1) {
            made++;
            quiet = 0;
        }
        usleep(10000);
    }
    return made;
}

/* Dead and not waited for: each still has its number and its place. */
static long zombies(void)
{
    long made = 0;
    for (int i = 0; i < TRIES; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        made += child > 0;
    }
    return made;
}

static void *one_fork(void *made)
{
    pid_t child = fork();
    if (child == 0)
        rest();
    if (child > 0)
        __atomic_add_fetch((long *)made, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static long together(void *(*make)(void *))
{
    pthread_t threads[TRIES];
    long made = 0;
    for (int i = 0; i < TRIES; i++)
        pthread_create(&threads[i], NULL, make, &made);
    for (int i = 0; i < TRIES; i++)
        pthread_join(threads[i], NULL);
    return made;
}

static long forks_at_once(void) { return together(one_fork); }

static volatile bool busy = true;

static void *burn(void *unused)
{
    while (busy)
        ;
    return unused;
}

/* Ask again and again, get the gate's yes, and wait for a turn to run until it counts anew. */
static void *slow_fork(void *made)
{
    struct sched_param none = {0};
    sched_setscheduler(0, SCHED_IDLE, &none);
    while (busy) {
        pid_t child = fork();
        if (child == 0)
            rest();
        if (child > 0) {
            __atomic_add_fetch((long *)made, 1, __ATOMIC_SEQ_CST);
            break;
        }
        usleep(50000);
    }
    return NULL;
}

static void *stop_burning(void *unused)
{
    sleep(2);
    busy = false;
    return unused;
}

static long slow_forks(void)
{
    cpu_set_t first;
    pthread_t thread;
    CPU_ZERO(&first);
    CPU_SET(sched_getcpu(), &first);
    sched_setaffinity(0, sizeof first, &first);
    for (int i = 0; i < 12; i++)
        pthread_create(&thread, NULL, burn, NULL);
    pthread_create(&thread, NULL, stop_burning, NULL);
    return together(slow_fork);
}

static void *nothing(void *unused)
{
    pause();
    return unused;
}

static long threads(void)
{
    pthread_t thread;
    pthread_attr_t small;
    long made = 0;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 1 << 16);
    for (int i = 0; i < 100; i++)
        made += pthread_create(&thread, &small, nothing, NULL) == 0;
    return made;
}

/* Every one that ends makes room for another. */
static long one_after_another(void)
{
    long made = 0;
    for (int i = 0; i < TRIES; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        made += child > 0;
        waitpid(child, NULL, 0);
    }
    return made;
}

ATTEMPTS({"forks", forks}, {"clones", clones}, {"clones-without-signal", silent_clones},
         {"clones-untraced", untraced_clones}, {"clones-with-high-bits", clones_with_high_bits},
         {"clones-sharing-memory", clones_sharing_memory},
         {"a-chain-of-forks", chain}, {"zombies", zombies}, {"forks-by-threads-at-once", forks_at_once},
         {"forks-that-take-their-time", slow_forks}, {"threads", threads},
         {"forks-one-after-another", one_after_another})
