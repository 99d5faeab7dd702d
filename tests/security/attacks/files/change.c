/* Ways to change what may only be read: PLACE is a folder, NAME a file in it. Each undoes what it did. */
#include "../attack.h"
#include <linux/fs.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <utime.h>

static char paths[4][4096];

static const char *in(const char *name)
{
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", target("PLACE"), name);
    return path;
}

static long done(int result) { return result == -1 ? -1 : 1; }

static long made(const char *name, int result)
{
    if (result == -1)
        return -1;
    remove(in(name));
    return 1;
}

static long writing(void) { return done(open(in(target("NAME")), O_WRONLY)); }
static long truncating(void) { return done(open(in(target("NAME")), O_RDONLY | O_TRUNC)); }
static long truncating_by_name(void) { return done(truncate(in(target("NAME")), 0)); }
static long creating(void) { return made("new", open(in("new"), O_WRONLY | O_CREAT, 0600)); }
static long nameless(void) { return done(open(target("PLACE"), O_TMPFILE | O_WRONLY, 0600)); }
static long folder(void) { return made("folder", mkdir(in("folder"), 0700)); }
static long fifo(void) { return made("fifo", mkfifo(in("fifo"), 0600)); }
static long symbolic(void) { return made("symbolic", symlink("/etc/passwd", in("symbolic"))); }
static long hard(void) { return made("hard", link(in(target("NAME")), in("hard"))); }
static long mode(void) { return done(chmod(in(target("NAME")), 0666)); }
static long times(void) { return done(utime(in(target("NAME")), NULL)); }
static long owner(void) { return done(chown(in(target("NAME")), getuid(), getgid())); }
static long attribute(void) { return done(setxattr(in(target("NAME")), "user.attack", "x", 1, 0)); }
static long renamed(void) { return rename(in(target("NAME")), in("moved")) == 0 ? rename(in("moved"), in(target("NAME"))) + 1 : -1; }
static long exchanged(void)
{
    close(open(in("other"), O_WRONLY | O_CREAT, 0600));
    chmod(in("other"), 0666);
    long result = done(syscall(SYS_renameat2, AT_FDCWD, in(target("NAME")), AT_FDCWD, in("other"), 2));
    if (result == 1)
        rename(in("other"), in(target("NAME")));
    return result == -1 && errno == ENOENT ? fail(EROFS) : result;
}
static long removed(void)
{
    if (unlink(in(target("NAME"))) != 0)
        return -1;
    close(open(in(target("NAME")), O_WRONLY | O_CREAT, 0666));
    return chmod(in(target("NAME")), 0666) == 0 ? 1 : -1;
}
static long through_descriptor(void)
{
    char path[64];
    int reading = open(in(target("NAME")), O_RDONLY);
    if (reading < 0)
        return -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d", reading);
    return done(open(path, O_WRONLY));
}
static long mode_through_descriptor(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", open(in(target("NAME")), O_PATH));
    return done(chmod(path, 0666));
}
static long flags(void)
{
    int opened = open(in(target("NAME")), O_RDONLY), value = 0;
    if (ioctl(opened, FS_IOC_GETFLAGS, &value) != 0)
        return -1;
    return done(ioctl(opened, FS_IOC_SETFLAGS, &value));
}
static long mapped(void)
{
    int opened = open(in(target("NAME")), O_RDWR);
    return opened < 0 ? -1 : mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, opened, 0) == MAP_FAILED ? -1 : 1;
}
static long listening(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", in("s"));
    return made("s", bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address));
}
static long folder_mode(void) { return done(chmod(target("PLACE"), 0777)); }
ATTEMPTS({"open-for-writing", writing}, {"open-truncating", truncating}, {"truncate", truncating_by_name},
         {"create", creating}, {"nameless-file", nameless}, {"make-a-folder", folder}, {"make-a-fifo", fifo},
         {"symlink", symbolic}, {"hard-link", hard}, {"chmod", mode}, {"utime", times}, {"chown", owner},
         {"set-attribute", attribute}, {"rename", renamed}, {"exchange", exchanged}, {"unlink", removed},
         {"write-through-a-descriptor", through_descriptor}, {"chmod-through-a-descriptor", mode_through_descriptor},
         {"set-flags", flags}, {"map-for-writing", mapped}, {"listen-at-a-path", listening},
         {"chmod-the-folder", folder_mode})
