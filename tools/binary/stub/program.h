/* The single file: what its parts share. It unpacks itself once, and from then on executes the unpacked form. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define DIGEST_LENGTH 64
#define REASON_LENGTH 512

/* The last bytes of the file, little-endian; written by payload.py. */
struct trailer {
    char magic[8];
    uint64_t offset;   /* where the compressed stream begins */
    uint64_t packed;   /* its length in bytes */
    uint64_t unpacked; /* the length of what it unpacks to */
    char digest[DIGEST_LENGTH]; /* SHA-256 of what it unpacks to, in hexadecimal: the name of the unpacked form */
};

/* A folder that holds one unpacked form a digest, open, with its path for messages and for execve(2). */
struct place {
    int fd;
    char path[4096];
};

/* Each answers 0, or -1 with a sentence in `reason`. */

/* place.c: opens `base`/mcp-client/program when nobody else can have written there; makes it when missing. */
int place_open(struct place *place, const char *base, char *reason);
/* Opens folder `name` in `parent`, of this user's and writable by nobody else. errno is ENOENT when missing. */
int open_own_folder(int parent, const char *name);

/* payload.c: unpacks into `folder`/tree. */
int payload_unpack(int file, const struct trailer *trailer, int folder, char *reason);

/* identity.c: writes down what each file of `folder`/tree is known again by; or whether each still is the same. */
int identity_record(int folder, const char *digest, char *reason);
int identity_matches(int folder, const char *digest);

/* sweep.c: removes a folder and all that is in it; and forms that nobody uses any more. */
void remove_folder(int parent, const char *name);
void sweep_old_forms(int place, const char *digest);

/* fault.c: writes a sentence with strerror(errno), when errno is set; always -1. */
int because(char *reason, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
