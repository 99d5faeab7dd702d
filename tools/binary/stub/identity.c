/* Whether the unpacked form is still what was unpacked: inode, size, times, mode and owner of each of its entries.

   Nobody can set a change time (inode(7), st_ctime) but by setting the system's clock, so that a file written, replaced,
   linked or given another mode is noticed, and a folder where one was added or removed, without reading any of it.
   A file that a crash left empty has another size. Whoever could write the record itself is this user, or root. */
#include "program.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD "identity"
#define LARGEST_RECORD (16 << 20)

struct entry {
    uint64_t inode, size;
    int64_t modified[2], changed[2];
    uint32_t mode, owner, name_length, unused;
};

struct record {
    char *data;
    size_t length, room;
};

static void describe(const struct stat *found, const char *name, struct entry *entry) {
    memset(entry, 0, sizeof *entry);
    entry->inode = found->st_ino;
    entry->size = S_ISDIR(found->st_mode) ? 0 : (uint64_t)found->st_size;
    entry->modified[0] = found->st_mtim.tv_sec;
    entry->modified[1] = found->st_mtim.tv_nsec;
    entry->changed[0] = found->st_ctim.tv_sec;
    entry->changed[1] = found->st_ctim.tv_nsec;
    entry->mode = found->st_mode;
    entry->owner = found->st_uid;
    entry->name_length = (uint32_t)strlen(name);
}

static int append(struct record *record, const void *data, size_t length) {
    if (record->length + length > record->room) {
        size_t room = 2 * (record->length + length);
        char *larger = realloc(record->data, room);
        if (!larger)
            return -1;
        record->data = larger;
        record->room = room;
    }
    memcpy(record->data + record->length, data, length);
    record->length += length;
    return 0;
}

/* Adds `path` below `tree`, and everything in it. */
static int add(struct record *record, int tree, const char *path) {
    struct stat found;
    struct entry entry;
    if (fstatat(tree, path, &found, AT_SYMLINK_NOFOLLOW))
        return -1;
    describe(&found, path, &entry);
    if (append(record, &entry, sizeof entry) || append(record, path, entry.name_length))
        return -1;
    if (!S_ISDIR(found.st_mode))
        return 0;
    int fd = openat(tree, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);
    if (!listing)
        return -1;
    int result = 0;
    for (struct dirent *item; !result && (item = readdir(listing));) {
        char below[4096];
        if (!strcmp(item->d_name, ".") || !strcmp(item->d_name, ".."))
            continue;
        if (snprintf(below, sizeof below, "%s/%s", path, item->d_name) >= (int)sizeof below) {
            errno = ENAMETOOLONG;
            result = -1;
        } else
            result = add(record, tree, below);
    }
    closedir(listing);
    return result;
}

int identity_record(int folder, const char *digest, char *reason) {
    struct record record = {0};
    int fd = -1, result = -1;
    if (append(&record, digest, DIGEST_LENGTH) == 0 && add(&record, folder, "tree") == 0)
        fd = openat(folder, RECORD, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) {
        size_t done = 0;
        while (done < record.length) {
            ssize_t written = write(fd, record.data + done, record.length - done);
            if (written < 0)
                break;
            done += (size_t)written;
        }
        result = done == record.length ? 0 : -1;
        int fault = errno;
        if (close(fd))
            result = -1;
        else
            errno = fault;
    }
    if (result)
        because(reason, "cannot write the record of the unpacked files");
    free(record.data);
    return result;
}

static char *read_record(int folder, size_t *length) {
    struct stat found;
    int fd = openat(folder, RECORD, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    char *data = NULL;
    int ours = fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && found.st_uid == geteuid()
               && !(found.st_mode & (S_IWGRP | S_IWOTH)) && found.st_size <= LARGEST_RECORD;
    if (ours && (data = malloc((size_t)found.st_size + 1))) {
        ssize_t got = read(fd, data, (size_t)found.st_size);
        *length = got < 0 ? 0 : (size_t)got;
    }
    close(fd);
    return data;
}

int identity_matches(int folder, const char *digest) {
    size_t length = 0;
    char *data = read_record(folder, &length), name[4096];
    int matches = data && length > DIGEST_LENGTH && !memcmp(data, digest, DIGEST_LENGTH);
    for (size_t at = DIGEST_LENGTH; matches && at < length;) {
        struct entry known, seen;
        struct stat found;
        matches = 0;
        if (length - at < sizeof known)
            break;
        memcpy(&known, data + at, sizeof known);
        at += sizeof known;
        if (known.name_length >= sizeof name || length - at < known.name_length)
            break;
        memcpy(name, data + at, known.name_length);
        name[known.name_length] = 0;
        at += known.name_length;
        if (fstatat(folder, name, &found, AT_SYMLINK_NOFOLLOW))
            break;
        describe(&found, name, &seen);
        matches = !memcmp(&known, &seen, sizeof known);
    }
    free(data);
    return matches;
}
