/* Unpacks the compressed stream: entries of type, mode, length and name, parents first; see payload.py. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define HEADER 13
#define LONGEST_NAME 1024

/* The stream, a piece at a time: `out` holds what is unpacked and not yet taken. */
struct stream {
    int file;
    uint64_t at, left;
    ZSTD_DStream *decoder;
    ZSTD_inBuffer in;
    ZSTD_outBuffer out;
    size_t taken;
    size_t to_come; /* 0 when the last frame is complete and its checksum held */
};

/* One call of the decoder into an empty `out`, after reading when it has nothing to go on. */
static int step(struct stream *stream) {
    stream->out.pos = stream->taken = 0;
    if (stream->in.pos == stream->in.size && stream->left) {
        size_t wanted = ZSTD_DStreamInSize() < stream->left ? ZSTD_DStreamInSize() : (size_t)stream->left;
        ssize_t got = pread(stream->file, (void *)stream->in.src, wanted, (off_t)stream->at);
        if (got < 0)
            return -1;
        stream->at += (uint64_t)got;
        stream->left = got ? stream->left - (uint64_t)got : 0;
        stream->in.size = (size_t)got;
        stream->in.pos = 0;
    }
    size_t before = stream->in.pos;
    stream->to_come = ZSTD_decompressStream(stream->decoder, &stream->out, &stream->in);
    int stuck = !stream->out.pos && stream->in.pos == before && stream->to_come;
    if (ZSTD_isError(stream->to_come) || stuck) {
        errno = EBADMSG;
        return -1;
    }
    return 0;
}

static int refill(struct stream *stream) {
    do {
        if (!stream->to_come) {
            errno = EBADMSG;
            return -1;
        }
        if (step(stream))
            return -1;
    } while (!stream->out.pos);
    return 0;
}

/* The frame's last bytes are its checksum: after the last entry must come its end, and nothing else. */
static int finish(struct stream *stream) {
    int extra = stream->taken != stream->out.pos;
    while (!extra && stream->to_come) {
        if (step(stream))
            return -1;
        extra = stream->out.pos != 0;
    }
    errno = EBADMSG;
    return extra ? -1 : 0;
}

static int take(struct stream *stream, void *to, size_t length) {
    for (char *at = to; length;) {
        if (stream->taken == stream->out.pos && refill(stream))
            return -1;
        size_t ready = stream->out.pos - stream->taken;
        size_t part = ready < length ? ready : length;
        memcpy(at, (char *)stream->out.dst + stream->taken, part);
        stream->taken += part;
        at += part;
        length -= part;
    }
    return 0;
}

static int write_file(struct stream *stream, int tree, const char *name, unsigned mode, uint64_t length) {
    int fd = openat(tree, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    while (length) {
        if (stream->taken == stream->out.pos && refill(stream))
            goto fail;
        size_t ready = stream->out.pos - stream->taken;
        size_t part = ready < length ? ready : (size_t)length;
        ssize_t written = write(fd, (char *)stream->out.dst + stream->taken, part);
        if (written < 0)
            goto fail;
        stream->taken += (size_t)written;
        length -= (uint64_t)written;
    }
    /* The kernel's word on delayed writes (quota, NFS) comes with close(2). */
    if (fchmod(fd, mode) == 0 && close(fd) == 0)
        return 0;
    return -1;
fail:;
    int fault = errno;
    close(fd);
    errno = fault;
    return -1;
}

static int unpack_entries(struct stream *stream, int tree, uint64_t total, char *reason) {
    unsigned char header[HEADER];
    char name[LONGEST_NAME + 1] = "";
    for (uint64_t done = 0; done < total;) {
        errno = 0;
        if (take(stream, header, HEADER))
            return because(reason, "cannot read the packed files after %s", name);
        unsigned mode = header[1] | header[2] << 8, name_length = header[3] | header[4] << 8;
        uint64_t length = 0;
        for (int i = 7; i >= 0; i--)
            length = length << 8 | header[5 + i];
        if (name_length > LONGEST_NAME || take(stream, name, name_length)) {
            errno = EBADMSG;
            return because(reason, "cannot read the packed files");
        }
        name[name_length] = 0;
        done += HEADER + name_length + length;
        int failed = header[0] == 'd' ? mkdirat(tree, name, 0700) || fchmodat(tree, name, mode, 0)
                                      : write_file(stream, tree, name, mode, length);
        if (failed)
            return because(reason, "cannot write %s", name);
    }
    return finish(stream) ? because(reason, "the packed files are damaged") : 0;
}

int payload_unpack(int file, const struct trailer *trailer, int folder, char *reason) {
    struct stream stream = {.file = file, .at = trailer->offset, .left = trailer->packed, .to_come = 1};
    stream.decoder = ZSTD_createDStream();
    stream.in.src = malloc(ZSTD_DStreamInSize());
    stream.out.size = ZSTD_DStreamOutSize();
    stream.out.dst = malloc(stream.out.size);
    if (!stream.decoder || !stream.in.src || !stream.out.dst) {
        errno = ENOMEM;
        return because(reason, "cannot unpack");
    }
    ZSTD_initDStream(stream.decoder);
    if (mkdirat(folder, "tree", 0700))
        return because(reason, "cannot make a folder");
    int tree = open_own_folder(folder, "tree");
    int result = tree < 0 ? because(reason, "cannot open a folder")
                          : unpack_entries(&stream, tree, trailer->unpacked, reason);
    if (tree >= 0)
        close(tree);
    ZSTD_freeDStream(stream.decoder);
    free((void *)stream.in.src);
    free(stream.out.dst);
    return result;
}
