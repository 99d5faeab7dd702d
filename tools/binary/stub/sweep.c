/* Removes what nobody uses any more: work of an unpacking that was killed, and forms of other versions. */
#include "program.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

/* Two versions in use by turns should not unpack themselves again at every turn. */
#define KEPT_SECONDS (30L * 24 * 60 * 60)

void remove_folder(int parent, const char *name) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);
    if (listing) {
        for (struct dirent *item; (item = readdir(listing));)
            if (strcmp(item->d_name, ".") && strcmp(item->d_name, "..")
                && unlinkat(dirfd(listing), item->d_name, 0) && (errno == EISDIR || errno == EPERM))
                remove_folder(dirfd(listing), item->d_name);
        closedir(listing);
    } else if (fd >= 0)
        close(fd);
    unlinkat(parent, name, AT_REMOVEDIR);
}

/* Whether a process started from this folder, or an unpacking in it, is still there; then it is kept. */
static int in_use(int place, const char *name, int *lease) {
    int folder = open_own_folder(place, name);
    *lease = folder < 0 ? -1 : openat(folder, "lease", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (folder >= 0)
        close(folder);
    return *lease >= 0 && flock(*lease, LOCK_EX | LOCK_NB) != 0;
}

void sweep_old_forms(int place, const char *digest) {
    int fd = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);
    if (!listing)
        return;
    for (struct dirent *item; (item = readdir(listing));) {
        struct stat found;
        const char *name = item->d_name;
        int form = strlen(name) == DIGEST_LENGTH, work = !strncmp(name, "new-", 4) || !strncmp(name, "old-", 4);
        if (!strcmp(name, digest) || (!form && !work))
            continue;
        int lease;
        if (!in_use(place, name, &lease)) {
            int recent = form && lease >= 0 && fstat(lease, &found) == 0
                         && time(NULL) - found.st_mtime < KEPT_SECONDS;
            /* Whoever starts from it now finds the lease locked, and later gone. */
            if (!recent)
                remove_folder(place, name);
        }
        if (lease >= 0)
            close(lease);
    }
    closedir(listing);
}
