/* Things that the kernel counts for each user, of which a server gets a part; PLACE is a writable folder. */
#include "../attack.h"
#include <mqueue.h>
#include <sys/inotify.h>
#include <time.h>

static long done(long result) { return result == -1 ? -1 : 1; }

static long queued_signals(void)
{
    sigset_t blocked;
    long made = 0;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    while (made < 2000 && sigqueue(getpid(), SIGRTMIN, (union sigval){0}) == 0)
        made++;
    while (sigtimedwait(&blocked, NULL, &(struct timespec){0, 0}) > 0)
        ;
    return made;
}

static long timers(void)
{
    static timer_t all[2000];
    long made = 0;
    while (made < 2000 && timer_create(CLOCK_MONOTONIC, NULL, &all[made]) == 0)
        made++;
    for (long i = 0; i < made; i++)
        timer_delete(all[i]);
    return made;
}

static long watchers(void)
{
    int all[48];
    long made = 0;
    while (made < 48 && (all[made] = inotify_init1(0)) >= 0)
        made++;
    for (long i = 0; i < made; i++)
        close(all[i]);
    return made;
}

static long message_queue(void)
{
    char name[32];
    snprintf(name, sizeof name, "/attack-%d", getpid());
    mqd_t queue = mq_open(name, O_CREAT | O_RDWR, 0600, NULL);
    mq_unlink(name);
    return done(queue);
}

static long locked(void)
{
    char *data = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mlock(data, 1 << 20) == 0 ? munlock(data, 1 << 20) + 1 : -1;
}

static long descriptors(void)
{
    long made = 0;
    int all[400];
    while (made < 400 && (all[made] = dup(1)) >= 0)
        made++;
    for (long i = 0; i < made; i++)
        close(all[i]);
    return made;
}

static long big_file(void)
{
    int file = open(target("PLACE"), O_TMPFILE | O_RDWR, 0600);
    signal(SIGXFSZ, SIG_IGN);
    return file < 0 ? -1 : done(ftruncate(file, 10ll << 30));
}

static long big_file_by_writing(void)
{
    int file = open(target("PLACE"), O_TMPFILE | O_RDWR, 0600);
    return file < 0 ? -1 : done(pwrite(file, "x", 1, 10ll << 30));
}

static long core(void)
{
    struct rlimit limit = {1 << 20, 1 << 20};
    return done(setrlimit(RLIMIT_CORE, &limit));
}

static long more_data(void)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    return done(setrlimit(RLIMIT_DATA, &limit));
}

ATTEMPTS({"queued-signals", queued_signals}, {"timers", timers}, {"inotify-instances", watchers},
         {"message-queue", message_queue}, {"locked-memory", locked}, {"descriptors", descriptors},
         {"ten-gigabytes", big_file}, {"ten-gigabytes-by-writing", big_file_by_writing},
         {"allow-core-dumps", core}, {"raise-data", more_data})
