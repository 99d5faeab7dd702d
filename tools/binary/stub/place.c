/* Where to unpack: a folder that nobody else can have written, by every component of its path. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define OTHERS_WRITE (S_IWGRP | S_IWOTH)
#define OVERFLOW_ID 65534 /* as kernels are, proc_sys_kernel(5) */

/* False for the id that stands for every user whom this user namespace does not know (user_namespaces(7)): to a
   process without an id there, the files of all of them look like its own. */
static int is_known(uid_t owner) {
    char map[64] = "", *after;
    if (owner != OVERFLOW_ID)
        return 1;
    int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, map, sizeof map - 1) < 0)
        *map = 0;
    if (fd >= 0)
        close(fd);
    /* Its first line: the first id inside, that outside, and how many there are. */
    int from_first = strtoul(map, &after, 10) == 0 && strtoul(after, &after, 10) == 0;
    return from_first && strtoul(after, &after, 10) == UINT32_MAX;
}

/* What lies above: root's or ours, and if others may write there (/tmp), they cannot rename what is not theirs. */
static int check_ancestor(int fd, const char *path, char *reason) {
    struct stat found;
    if (fstat(fd, &found))
        return because(reason, "%s", path);
    int known = is_known(found.st_uid);
    errno = 0;
    if (!known)
        return because(reason, "%s belongs to a user whom this user namespace does not know", path);
    if (found.st_uid != 0 && found.st_uid != geteuid())
        return because(reason, "%s belongs to another user", path);
    if ((found.st_mode & OTHERS_WRITE) && !(found.st_uid == 0 && (found.st_mode & S_ISVTX)))
        return because(reason, "%s can be written by others", path);
    return 0;
}

/* Walks an absolute path without symbolic links from the root, a component at a time; a descriptor, or -1. */
static int walk(const char *path, char *reason) {
    int fd = open("/", FOLDER);
    if (fd < 0)
        return because(reason, "/");
    if (check_ancestor(fd, "/", reason))
        goto fail;
    for (const char *at = path; *at;) {
        at += strspn(at, "/");
        size_t length = strcspn(at, "/");
        if (!length)
            break;
        char name[NAME_MAX + 1];
        if (length > NAME_MAX) {
            errno = ENAMETOOLONG;
            because(reason, "%s", path);
            goto fail;
        }
        memcpy(name, at, length);
        name[length] = 0;
        at += length;
        int below = openat(fd, name, FOLDER);
        if (below < 0) {
            because(reason, "%.*s", (int)(at - path), path);
            goto fail;
        }
        close(fd);
        fd = below;
        char shown[PATH_MAX];
        snprintf(shown, sizeof shown, "%.*s", (int)(at - path), path);
        if (check_ancestor(fd, shown, reason))
            goto fail;
    }
    return fd;
fail:
    close(fd);
    return -1;
}

static int make_folders(const char *path, char *reason) {
    char made[PATH_MAX];
    snprintf(made, sizeof made, "%s", path);
    for (char *at = made + 1;; at++)
        if (*at == '/' || !*at) {
            char end = *at;
            *at = 0;
            if (mkdir(made, 0700) && errno != EEXIST)
                return because(reason, "cannot make %s", made);
            if (!end)
                return 0;
            *at = end;
        }
}

int open_own_folder(int parent, const char *name) {
    int fd = openat(parent, name, FOLDER);
    struct stat found;
    if (fd < 0)
        return -1;
    if (fstat(fd, &found) || found.st_uid != geteuid() || !is_known(found.st_uid) || (found.st_mode & OTHERS_WRITE)) {
        close(fd);
        errno = EPERM;
        return -1;
    }
    return fd;
}

static int make_own_folder(int parent, const char *name, const char *path, char *reason) {
    if (mkdirat(parent, name, 0700) && errno != EEXIST && errno != EROFS && errno != EACCES)
        return because(reason, "cannot make %s", path);
    int fd = open_own_folder(parent, name);
    if (fd >= 0)
        return fd;
    if (errno != EPERM && errno != ELOOP && errno != ENOTDIR)
        return because(reason, "%s", path);
    errno = 0;
    return because(reason, "%s is not a folder of yours that only you can write", path);
}

int place_open(struct place *place, const char *base, char *reason) {
    char real[PATH_MAX], middle[PATH_MAX];
    if (make_folders(base, reason))
        return -1;
    /* A link on the way (/home, ~/.cache on another disk) is followed once, and the path it gives is checked. */
    if (!realpath(base, real))
        return because(reason, "%s", base);
    if (snprintf(place->path, sizeof place->path, "%s/mcp-client/program", strcmp(real, "/") ? real : "")
        >= (int)sizeof place->path) {
        errno = ENAMETOOLONG;
        return because(reason, "%s", base);
    }
    int above = walk(real, reason);
    if (above < 0)
        return -1;
    struct statvfs mount;
    if (fstatvfs(above, &mount) == 0 && (mount.f_flag & ST_NOEXEC)) {
        close(above);
        errno = 0;
        return because(reason, "nothing may be executed in %s (noexec)", real);
    }
    snprintf(middle, sizeof middle, "%.*s", (int)(strlen(place->path) - strlen("/program")), place->path);
    int own = make_own_folder(above, "mcp-client", middle, reason);
    close(above);
    if (own < 0)
        return -1;
    place->fd = make_own_folder(own, "program", place->path, reason);
    close(own);
    return place->fd < 0 ? -1 : 0;
}
