/* Ways to more memory than the limit: MEGABYTES at a time, held for HOLD milliseconds. */
#include "../attack.h"
#include <sys/ipc.h>
#include <sys/shm.h>

static size_t amount(void) { return (size_t)target_number("MEGABYTES") << 20; }

static long hold(void)
{
    usleep(target_number("HOLD") * 1000);
    return target_number("MEGABYTES");
}

static long fill(char *data, size_t size)
{
    if (data == MAP_FAILED)
        return -1;
    for (size_t at = 0; at < size; at += 4096)
        data[at] = 1;
    return 1;
}

static long mapped(int flags, int file)
{
    return fill(mmap(NULL, amount(), PROT_READ | PROT_WRITE, flags, file, 0), amount()) == -1 ? -1 : hold();
}

static long private(void) { return mapped(MAP_PRIVATE | MAP_ANONYMOUS, -1); }
static long shared(void) { return mapped(MAP_SHARED | MAP_ANONYMOUS, -1); }
static long heap(void)
{
    char *data = sbrk(amount());
    return data == (void *)-1 || fill(data, amount()) == -1 ? -1 : hold();
}

static long memory_file(void)
{
    int file = memfd_create("attack", 0);
    return file < 0 || ftruncate(file, amount()) != 0 ? -1 : mapped(MAP_SHARED, file);
}

static long write_out(int file)
{
    static char block[1 << 20];
    for (size_t at = 0; at < amount(); at += sizeof block)
        if (write(file, block, sizeof block) != sizeof block)
            return -1;
    return hold();
}

static long unmapped(void) { return write_out(memfd_create("attack", 0)); }

static long scratch(const char *folder)
{
    return write_out(open(folder, O_TMPFILE | O_RDWR, 0600));
}

static long tmp(void) { return scratch("/tmp"); }
static long shm(void) { return scratch("/dev/shm"); }

static long segment(void)
{
    int id = shmget(IPC_PRIVATE, amount(), 0600);
    char *data = id < 0 ? MAP_FAILED : shmat(id, NULL, 0);
    if (id >= 0)
        shmctl(id, IPC_RMID, NULL);
    return fill(data, amount()) == -1 ? -1 : hold();
}

/* Touched, and not attached any more. */
static long left_segment(void)
{
    int id = shmget(IPC_PRIVATE, amount(), 0600);
    char *data = id < 0 ? MAP_FAILED : shmat(id, NULL, 0);
    if (fill(data, amount()) == -1)
        return -1;
    shmdt(data);
    long held = hold();
    shmctl(id, IPC_RMID, NULL);
    return held;
}

/* Each below the limit, all together above. */
static long children(void)
{
    size_t each = amount() / 8;
    for (int i = 0; i < 8; i++) {
        pid_t child = fork();
        if (child < 0)
            return -1;
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            fill(mmap(NULL, each, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), each);
            hold();
            _exit(0);
        }
    }
    while (wait(NULL) > 0)
        ;
    return target_number("MEGABYTES");
}

ATTEMPTS({"private-memory", private}, {"heap", heap}, {"shared-memory", shared}, {"memory-file", memory_file},
         {"unmapped-memory-file", unmapped}, {"tmp", tmp}, {"dev-shm", shm}, {"shared-segment", segment},
         {"detached-segment", left_segment}, {"eight-children", children})
