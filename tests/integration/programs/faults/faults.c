/* LD_PRELOAD: count every call that changes a file system below one folder, and at the Nth kill or fail.
 *
 * fault_arm(folder, at, action, sticky): action 0 counts only, -1 is SIGKILL before the call, -2 SIGKILL after it,
 * anything else the errno of the call. Sticky: every later call that needs room fails as well. fault_count()
 * tells how many there were. fault_locks(folder, errno): no lock of any kind works below the folder.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static char watched[PATH_MAX], unlockable[PATH_MAX];
static atomic_long count;
static long at;
static int action, sticky, lock_errno;

void fault_arm(const char *folder, long n, int what, int stays)
{
    snprintf(watched, sizeof watched, "%s", folder);
    at = n, action = what, sticky = stays;
    atomic_store(&count, 0);
}

long fault_count(void) { return atomic_load(&count); }

void fault_locks(const char *folder, int number)
{
    snprintf(unlockable, sizeof unlockable, "%s", folder);
    lock_errno = number;
}

__attribute__((constructor)) static void from_environment(void)
{
    const char *folder = getenv("FAULT_FOLDER"), *locks = getenv("FAULT_LOCKS");
    if (folder && locks)
        fault_locks(folder, atoi(locks));
    if (folder && getenv("FAULT_AT"))
        fault_arm(folder, atol(getenv("FAULT_AT")), atoi(getenv("FAULT_ACTION")), getenv("FAULT_STICKY") != NULL);
}

static int below(const char *folder, const char *path)
{
    size_t length = strlen(folder);
    return length && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

static const char *place_of(int descriptor, char *buffer)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = syscall(SYS_readlink, link, buffer, PATH_MAX - 1);
    buffer[length < 0 ? 0 : length] = 0;
    return buffer;
}

/* Whether this call is to fail; it does not return when the process is to die. */
static int due(const char *path, int needs_room)
{
    if (!watched[0] || !below(watched, path))
        return 0;
    long n = atomic_fetch_add(&count, 1) + 1;
    if (n == at && action == -1)
        kill(getpid(), SIGKILL);
    if (action > 0 && (n == at || (sticky && n > at && needs_room))) {
        errno = action;
        return 1;
    }
    return 0;
}

static void done(void)
{
    if (action == -2 && atomic_load(&count) == at && at) {
        at = -1;
        kill(getpid(), SIGKILL);
    }
}

static int due_at(int folder, const char *path, int needs_room)
{
    char buffer[PATH_MAX];
    if (path[0] == '/' || folder == AT_FDCWD)
        return due(path, needs_room);
    return due(place_of(folder, buffer), needs_room);
}

static int due_in(int descriptor, int needs_room)
{
    char buffer[PATH_MAX];
    int before = errno, is_due;
    if (!watched[0])
        return 0;
    place_of(descriptor, buffer);
    errno = before;
    is_due = due(buffer, needs_room);
    return is_due;
}

#define REAL(name) ((__typeof__(&name))real_##name)
#define LOAD(name) \
    static void *real_##name; \
    if (!real_##name) real_##name = dlsym(RTLD_NEXT, #name)
#define WRAP(result, name, parameters, is_due, call) \
    result name parameters \
    { \
        LOAD(name); \
        if (is_due) return (result)-1; \
        result answer = REAL(name) call; \
        int number = errno; \
        done(); \
        errno = number; \
        return answer; \
    }

#define OPEN(name, first, folder, arguments, call) \
    int name arguments \
    { \
        LOAD(name); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) { \
            va_list list; \
            va_start(list, flags); \
            mode = va_arg(list, mode_t); \
            va_end(list); \
        } \
        int makes = (flags & O_CREAT) && (flags & O_EXCL ? 1 : syscall(SYS_faccessat, folder, path, 0) != 0); \
        if (makes && due_at(folder, path, 1)) return -1; \
        int answer = REAL(name) call; \
        int number = errno; \
        if (makes) done(); \
        errno = number; \
        return answer; \
    }

OPEN(open, path, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, path, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, folder, folder, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))
OPEN(openat64, folder, folder, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))

WRAP(ssize_t, write, (int fd, const void *data, size_t size), due_in(fd, 1), (fd, data, size))
WRAP(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t to), due_in(fd, 1), (fd, data, size, to))
WRAP(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t to), due_in(fd, 1), (fd, data, size, to))
WRAP(int, fallocate, (int fd, int mode, off_t from, off_t size), due_in(fd, 1), (fd, mode, from, size))
WRAP(int, fsync, (int fd), due_in(fd, 0), (fd))
WRAP(int, fdatasync, (int fd), due_in(fd, 0), (fd))
WRAP(int, syncfs, (int fd), due_in(fd, 0), (fd))
WRAP(int, ftruncate, (int fd, off_t size), due_in(fd, 0), (fd, size))
WRAP(int, ftruncate64, (int fd, off64_t size), due_in(fd, 0), (fd, size))
WRAP(int, fchmod, (int fd, mode_t mode), due_in(fd, 0), (fd, mode))
WRAP(int, futimens, (int fd, const struct timespec times[2]), due_in(fd, 0), (fd, times))
WRAP(int, mkdir, (const char *path, mode_t mode), due(path, 1), (path, mode))
WRAP(int, mkdirat, (int folder, const char *path, mode_t mode), due_at(folder, path, 1), (folder, path, mode))
WRAP(int, symlink, (const char *to, const char *path), due(path, 1), (to, path))
WRAP(int, symlinkat, (const char *to, int folder, const char *path), due_at(folder, path, 1), (to, folder, path))
WRAP(int, link, (const char *from, const char *path), due(path, 1), (from, path))
WRAP(int, linkat, (int one, const char *from, int two, const char *path, int flags), due_at(two, path, 1),
     (one, from, two, path, flags))
WRAP(int, rename, (const char *from, const char *to), due(to, 0), (from, to))
WRAP(int, renameat, (int one, const char *from, int two, const char *to), due_at(two, to, 0), (one, from, two, to))
WRAP(int, unlink, (const char *path), due(path, 0), (path))
WRAP(int, unlinkat, (int folder, const char *path, int flags), due_at(folder, path, 0), (folder, path, flags))
WRAP(int, rmdir, (const char *path), due(path, 0), (path))
WRAP(int, chmod, (const char *path, mode_t mode), due(path, 0), (path, mode))
WRAP(int, fchmodat, (int folder, const char *path, mode_t mode, int flags), due_at(folder, path, 0),
     (folder, path, mode, flags))
WRAP(int, utimensat, (int folder, const char *path, const struct timespec times[2], int flags),
     due_at(folder, path, 0), (folder, path, times, flags))

static int no_lock(int descriptor)
{
    char buffer[PATH_MAX];
    if (!lock_errno || !below(unlockable, place_of(descriptor, buffer)))
        return 0;
    errno = lock_errno;
    return 1;
}

int flock(int descriptor, int operation)
{
    LOAD(flock);
    return no_lock(descriptor) ? -1 : REAL(flock)(descriptor, operation);
}

#define FCNTL(name) \
    int name(int descriptor, int command, ...) \
    { \
        LOAD(name); \
        va_list list; \
        va_start(list, command); \
        void *argument = va_arg(list, void *); \
        va_end(list); \
        if ((command == F_SETLK || command == F_SETLKW || command == F_GETLK) && no_lock(descriptor)) return -1; \
        return REAL(name)(descriptor, command, argument); \
    }
FCNTL(fcntl)
FCNTL(fcntl64)
