/* Finds the unpacked form of this file, or unpacks it, and executes it. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <sys/auxv.h>

#define MAGIC "MCPBIN\0\1"
#define REFUSED 125 /* mcp run: a failure of ours, and not the server's */
#define PLACES 4
#define LOCK_SECONDS 10
#define DAY_SECONDS (24L * 60 * 60)

static char *const *arguments;

static int open_own_file(void) {
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    const char *path = (const char *)getauxval(AT_EXECFN);
    return fd < 0 && path ? open(path, O_RDONLY | O_CLOEXEC) : fd;
}

static int read_trailer(int file, struct trailer *trailer) {
    struct stat found;
    if (fstat(file, &found) || found.st_size < (off_t)sizeof *trailer)
        return -1;
    off_t at = found.st_size - (off_t)sizeof *trailer;
    if (pread(file, trailer, sizeof *trailer, at) != sizeof *trailer || memcmp(trailer->magic, MAGIC, 8))
        return -1;
    return trailer->offset + trailer->packed == (uint64_t)at ? 0 : -1;
}

/* Opens the lease of a form and shares it: while it is held, nobody removes the form. -1 when it is gone. */
static int take_lease(int folder) {
    struct stat mine, there;
    int fd = openat(folder, "lease", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int taken = flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    if (taken && fstat(fd, &mine) == 0 && fstatat(folder, "lease", &there, AT_SYMLINK_NOFOLLOW) == 0
        && mine.st_ino == there.st_ino && mine.st_dev == there.st_dev) {
        if (time(NULL) - mine.st_mtime > DAY_SECONDS)
            futimens(fd, NULL);
        return fd;
    }
    close(fd);
    return -1;
}

/* Replaces this process by the unpacked form; comes back only with errno. The lease goes with it. */
static void execute(const struct place *place, const char *digest, int lease) {
    char interpreter[PATH_MAX], start[PATH_MAX], number[16];
    const char *format = "%s/%.*s/tree/%s";
    if (snprintf(interpreter, PATH_MAX, format, place->path, DIGEST_LENGTH, digest, INTERPRETER) >= PATH_MAX
        || snprintf(start, PATH_MAX, format, place->path, DIGEST_LENGTH, digest, "start.py") >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return;
    }
    /* Not 0, 1 or 2, even where the caller closed those. */
    int kept = fcntl(lease, F_DUPFD, 3);
    snprintf(number, sizeof number, "%d", kept);
    size_t count = 0;
    while (arguments[count])
        count++;
    const char *own[] = {interpreter, "-I", "-S", "-B", start, number, count ? arguments[0] : "mcp"};
    size_t owned = sizeof own / sizeof *own;
    char **all = calloc(owned + count + 1, sizeof *all);
    if (!all)
        return;
    memcpy(all, own, sizeof own);
    for (size_t i = 1; i < count; i++)
        all[owned + i - 1] = arguments[i];
    execv(interpreter, all);
    int fault = errno;
    close(kept);
    free(all);
    errno = fault;
}

/* Takes the lease of a form that is there and is whole; -1 otherwise. */
static int take_whole(const struct place *place, const char *digest) {
    int folder = open_own_folder(place->fd, digest);
    if (folder < 0)
        return -1;
    int lease = take_lease(folder);
    if (lease >= 0 && !identity_matches(folder, digest)) {
        close(lease);
        lease = -1;
    }
    close(folder);
    return lease;
}

/* Comes back with 0 when the form must be unpacked, -1 with `reason` when it cannot be executed. */
static int try_to_execute(const struct place *place, const char *digest, char *reason) {
    int lease = take_whole(place, digest);
    if (lease < 0)
        return 0;
    execute(place, digest, lease);
    int gone = errno == ENOENT && faccessat(place->fd, digest, F_OK, 0) != 0;
    if (!gone && errno == ENOENT) {
        errno = 0;
        because(reason, "this system cannot execute it: it needs " NEEDS);
    } else if (!gone)
        because(reason, "cannot execute what is in %s", place->path);
    close(lease);
    return gone ? 0 : -1;
}

/* Waits for whoever unpacks; goes on without the lock where there are none, or when it was stopped half-way. */
static int lock(int place) {
    int fd = openat(place, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct timespec pause = {0, 10 * 1000 * 1000};
    for (int turn = 0; fd >= 0 && turn < LOCK_SECONDS * 100; turn++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
            break;
        nanosleep(&pause, NULL);
    }
    return fd;
}

static void random_name(char *name, const char *prefix) {
    unsigned char random[8] = {0};
    getentropy(random, sizeof random);
    name += sprintf(name, "%s", prefix);
    for (size_t i = 0; i < sizeof random; i++)
        name += sprintf(name, "%02x", random[i]);
}

/* Unpacks into a folder of its own and gives it the digest's name in one step. */
static int unpack(int file, const struct trailer *trailer, const struct place *place, const char *digest, char *reason) {
    char work[32], old[32];
    random_name(work, "new-");
    errno = 0;
    if (mkdirat(place->fd, work, 0700))
        return because(reason, "cannot write in %s", place->path);
    int folder = open_own_folder(place->fd, work), lease = -1, result = -1;
    if (folder >= 0)
        lease = openat(folder, "lease", O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (lease < 0)
        because(reason, "cannot write in %s", place->path);
    else {
        flock(lease, LOCK_SH);
        result = payload_unpack(file, trailer, folder, reason) || identity_record(folder, digest, reason) ? -1 : 0;
    }
    if (result == 0 && renameat(place->fd, work, place->fd, digest)) {
        /* There is one already: another's, finished meanwhile, or one that is not whole and makes room. */
        int there = take_whole(place, digest);
        if (there < 0) {
            random_name(old, "old-");
            if (renameat(place->fd, digest, place->fd, old) && errno != ENOENT)
                result = because(reason, "cannot replace %s/%s", place->path, digest);
            else if (renameat(place->fd, work, place->fd, digest) && errno != ENOTEMPTY && errno != EEXIST)
                result = because(reason, "cannot write in %s", place->path);
        }
        if (there >= 0)
            close(there);
    }
    if (folder >= 0)
        close(folder);
    if (lease >= 0)
        close(lease);
    remove_folder(place->fd, work);
    return result;
}

/* What was wrong with the places tried before. */
static char reasons[PLACES][REASON_LENGTH];

static void tell_reasons(int count) {
    static int told;
    for (; told < count; told++)
        fprintf(stderr, "mcp: cannot unpack itself: %s\n", reasons[told]);
}

/* Executes the form in `base`, unpacked there when need be; comes back only with a reason. */
static void run_from(const char *base, int number, int file, const struct trailer *trailer) {
    struct place place;
    char digest[DIGEST_LENGTH + 1] = "", *reason = reasons[number];
    memcpy(digest, trailer->digest, DIGEST_LENGTH);
    if (place_open(&place, base, reason))
        return;
    if (try_to_execute(&place, digest, reason) == 0) {
        int held = lock(place.fd);
        if (try_to_execute(&place, digest, reason) == 0 && unpack(file, trailer, &place, digest, reason) == 0) {
            sweep_old_forms(place.fd, digest);
            if (number) {
                tell_reasons(number);
                fprintf(stderr, "mcp: unpacked in %s instead\n", place.path);
            }
            if (try_to_execute(&place, digest, reason) == 0) {
                errno = 0;
                because(reason, "%s changes while it is used", place.path);
            }
        }
        if (held >= 0)
            close(held);
    }
    close(place.fd);
}

static const char *home_folder(void) {
    const char *home = getenv("HOME");
    struct passwd *user = home && *home == '/' ? NULL : getpwuid(geteuid());
    return user ? user->pw_dir : home;
}

/* The places to try: the user's cache, then what is for temporary files, where the next start finds it again. */
static void name_place(int number, char *path) {
    const char *home = home_folder(), *cache = getenv("XDG_CACHE_HOME"), *temporary = getenv("TMPDIR");
    const char *folders[PLACES] = {NULL, temporary && *temporary == '/' ? temporary : "/var/tmp", "/var/tmp", "/tmp"};
    if (number > 0)
        snprintf(path, PATH_MAX, "%s/mcp-client-%ld", folders[number], (long)geteuid());
    else if (cache && *cache == '/')
        snprintf(path, PATH_MAX, "%s", cache);
    else
        snprintf(path, PATH_MAX, "%s/.cache", home && *home == '/' ? home : "/nonexistent");
}

int main(int count, char **given) {
    struct trailer trailer;
    char path[PATH_MAX];
    arguments = given;
    int refused = count > 1 && !strcmp(given[1], "run") ? REFUSED : 1;
    int file = open_own_file();
    if (file < 0) {
        fprintf(stderr, "mcp: cannot read its own file: %s\nhint: chmod a+r it\n", strerror(errno));
        return refused;
    }
    if (read_trailer(file, &trailer)) {
        fprintf(stderr, "mcp: this file is damaged: what it should unpack is not there\nhint: download it again\n");
        return refused;
    }
    for (int number = 0; number < PLACES; number++) {
        name_place(number, path);
        run_from(path, number, file, &trailer);
    }
    tell_reasons(PLACES);
    fprintf(stderr, "hint: it takes %lu MB, once, in a folder that only you can write and execute from; "
                    "XDG_CACHE_HOME names another one\n", (unsigned long)(trailer.unpacked >> 20) + 1);
    return refused;
}
