/* The frame of every attack in C: a table of attempts, one line of output for each.
 *
 * An attempt returns what it got hold of, or -1 with errno set. Its line is "NAME got: VALUE" or
 * "NAME refused: ERRNO"; the last line is "end", so that a program that stops early is noticed.
 * Arguments select attempts by name; without any, all are made in order. What an attempt aims at comes by
 * the environment. An attempt must leave the next one unharmed, or be selected alone. */
#ifndef ATTACK_H
#define ATTACK_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

struct attempt {
    const char *name;
    long (*make)(void);
};

/* What the environment names; the attempt fails with EDESTADDRREQ where it names nothing. */
static inline const char *target(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL) {
        printf("%s is not set\n", name);
        exit(99);
    }
    return value;
}

static inline long target_number(const char *name)
{
    return strtol(target(name), NULL, 0);
}

static inline long fail(int number)
{
    errno = number;
    return -1;
}

/* Make one attempt in a child, which may break what it likes; a deadly signal comes back as EINTR. */
static inline long in_child(long (*make)(void))
{
    int answer[2];
    if (pipe(answer) != 0)
        return -1;
    pid_t child = fork();
    if (child < 0)
        return -1;
    if (child == 0) {
        errno = 0;
        long said[2] = {make(), 0};
        said[1] = errno;
        _exit(write(answer[1], said, sizeof said) != sizeof said);
    }
    close(answer[1]);
    long said[2];
    ssize_t got = read(answer[0], said, sizeof said);
    close(answer[0]);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    if (got != sizeof said)
        return fail(EINTR);
    errno = said[1];
    return said[0];
}

static inline int run_attempts(const struct attempt *attempts, size_t count, int argc, char **argv)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    for (size_t i = 0; i < count; i++) {
        bool chosen = argc < 2;
        for (int a = 1; a < argc; a++)
            chosen |= strcmp(argv[a], attempts[i].name) == 0;
        if (!chosen)
            continue;
        errno = 0;
        long got = attempts[i].make();
        if (got == -1) {
            const char *name = strerrorname_np(errno);
            printf("%s refused: %s\n", attempts[i].name, name ? name : "0");
        } else {
            printf("%s got: %ld\n", attempts[i].name, got);
        }
    }
    printf("end\n");
    return 0;
}

#define ATTEMPTS(...)                                                                      \
    static const struct attempt attempts[] = {__VA_ARGS__};                                \
    int main(int argc, char **argv)                                                        \
    {                                                                                      \
        return run_attempts(attempts, sizeof attempts / sizeof *attempts, argc, argv);     \
    }

#endif
