/* What can be done through the standard descriptors: FD is the one that is attacked. */
#include "../attack.h"
#include <net/if.h>
#include <sys/file.h>
#include <sys/un.h>
#include <termios.h>

static int fd(void) { return target_number("FD"); }
static long done(long result) { return result == -1 ? -1 : 1; }

static long reopen(int flags)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd());
    int opened = open(path, flags | O_NOCTTY | O_NONBLOCK);
    return done(opened);
}

static long type(unsigned long request) { return done(syscall(SYS_ioctl, fd(), request, "x")); }

static long typing(void) { return type(TIOCSTI); }
static long typing_high(void) { return type(1ul << 32 | TIOCSTI); }
static long typing_all_high(void) { return type(0xfffffffful << 32 | TIOCSTI); }
static long console(void) { return done(ioctl(fd(), TIOCLINUX, "\3")); }
static long discipline(void) { return done(ioctl(fd(), TIOCSETD, &(int){0})); }
static long raw_mode(void)
{
    struct termios settings;
    if (tcgetattr(fd(), &settings) != 0)
        return -1;
    return done(tcsetattr(fd(), TCSANOW, &settings));
}
static long size(void) { return done(ioctl(fd(), TIOCSWINSZ, &(struct winsize){24, 80, 0, 0})); }
static long exclusive(void) { return done(ioctl(fd(), TIOCEXCL)) == 1 ? done(ioctl(fd(), TIOCNXCL)) : -1; }
static long foreground(void) { return done(tcgetpgrp(fd())); }
static long break_line(void) { return done(tcsendbreak(fd(), 0)); }
static long name(void) { return ttyname(fd()) == NULL ? -1 : 1; }
static long dev_tty(void) { return done(open("/dev/tty", O_RDWR)); }

static long read_again(void) { return reopen(O_RDONLY); }
static long write_again(void) { return reopen(O_RDWR); }
static long reading(void)
{
    char byte;
    fcntl(fd(), F_SETFL, O_NONBLOCK);
    long got = pread(fd(), &byte, 1, 0);
    return got < 0 && errno == ESPIPE ? (read(fd(), &byte, 1) >= 0 || errno == EAGAIN ? 1 : -1) : done(got);
}
static long cutting(void) { return done(ftruncate(fd(), 0)); }
static long its_length(void)
{
    struct stat found;
    return fstat(fd(), &found) == 0 && found.st_size > 0 ? 1 : fail(ENODATA);
}
static long its_mode(void)
{
    struct stat found;
    return fstat(fd(), &found) == 0 && S_ISREG(found.st_mode) ? done(fchmod(fd(), 0600)) : fail(ENODATA);
}

static long in_folder(void) { return done(openat(fd(), ".", O_RDONLY | O_DIRECTORY)); }
static long below_folder(void) { return done(faccessat(fd(), "secret", F_OK, 0)); }
static long into_folder(void) { return done(fchdir(fd())); }

/* No right to files is asked for by these: being there is enough. */
static long knock(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "service"};
    if (fchdir(fd()) != 0)
        return -1;
    return done(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address));
}
static long change_below(void) { return done(fchmodat(fd(), "secret", 0666, 0)); }

static long interfaces(unsigned long request)
{
    struct ifreq one = {.ifr_name = "lo"};
    return done(syscall(SYS_ioctl, fd(), request, &one));
}
static long addresses(void)
{
    char space[1024];
    struct ifconf all = {.ifc_len = sizeof space, .ifc_buf = space};
    return done(ioctl(fd(), SIOCGIFCONF, &all));
}
static long flags(void) { return interfaces(SIOCGIFFLAGS); }
static long flags_high(void) { return interfaces(1ul << 32 | SIOCGIFFLAGS); }
static long address(void) { return interfaces(SIOCGIFADDR); }
static long hardware(void) { return interfaces(SIOCGIFHWADDR); }
static long by_index(void) { return interfaces(SIOCGIFINDEX); }
static long namespace(void)
{
    long space = ioctl(fd(), 0x894c);
    return space >= 0 || errno == EPERM ? done(space) : -1;
}
static long peer(void)
{
    struct ucred found = {0};
    socklen_t length = sizeof found;
    if (getsockopt(fd(), SOL_SOCKET, SO_PEERCRED, &found, &length) != 0)
        return -1;
    return found.pid > 0 ? 1 : fail(ESRCH);
}

ATTEMPTS({"type-into-it", typing}, {"type-with-a-high-bit", typing_high}, {"type-with-all-high-bits", typing_all_high},
         {"console-request", console}, {"line-discipline", discipline}, {"change-settings", raw_mode},
         {"change-its-size", size}, {"make-it-exclusive", exclusive},
         {"ask-who-is-in-front", foreground}, {"send-a-break", break_line}, {"ask-its-name", name},
         {"open-dev-tty", dev_tty}, {"open-again-to-read", read_again}, {"open-again-to-write", write_again},
         {"read-it", reading}, {"ask-its-length", its_length}, {"change-its-mode", its_mode}, {"cut-it", cutting},
         {"open-the-folder", in_folder}, {"look-below-the-folder", below_folder}, {"enter-the-folder", into_folder}, {"connect-below-the-folder", knock},
         {"change-below-the-folder", change_below},
         {"list-addresses", addresses}, {"ask-flags", flags}, {"ask-flags-with-a-high-bit", flags_high},
         {"ask-an-address", address}, {"ask-the-hardware", hardware}, {"ask-an-index", by_index},
         {"ask-its-namespace", namespace}, {"ask-who-is-behind", peer})
