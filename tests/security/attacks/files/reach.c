/* Ways to a file of the host, SECRET, that was not granted; what is read is its first number. */
#include "../attack.h"
#include <dirent.h>
#include <stddef.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>

static long first_number(int file)
{
    char text[32] = "";
    if (file < 0 || read(file, text, sizeof text - 1) < 0)
        return -1;
    return strtol(text, NULL, 10);
}

static long through(const char *prefix)
{
    char path[4096];
    snprintf(path, sizeof path, "%s%s", prefix, target("SECRET"));
    return first_number(open(path, O_RDONLY));
}

static long plainly(void) { return through(""); }
static long own_root(void) { return through("/proc/self/root"); }
static long thread_root(void) { return through("/proc/thread-self/root"); }
static long task_root(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/root", (int)syscall(SYS_gettid));
    return through(path);
}
static long parents_root(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/root", getppid() > 1 ? getppid() : 1);
    return through(path);
}
static long working_folder(void) { return through("/proc/self/cwd/../../../../../../../../.."); }
static long dots(void) { return through("/tmp/../../../../../../../../.."); }

static long at_root(void)
{
    int root = open("/", O_PATH | O_DIRECTORY);
    for (int i = 0; i < 64; i++)
        root = openat(root, "..", O_PATH | O_DIRECTORY);
    return first_number(openat(root, target("SECRET") + 1, O_RDONLY));
}

static long by_link(void)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/link-%d-%d", getpid(), rand());
    if (symlink(target("SECRET"), path) != 0)
        return -1;
    long got = first_number(open(path, O_RDONLY));
    int number = errno;
    unlink(path);
    errno = number;
    return got;
}

static long by_hard_link(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s-%d", target("SECRET"), getpid());
    if (link(target("SECRET"), path) != 0)
        return -1;
    long got = first_number(open(path, O_RDONLY));
    unlink(path);
    return got;
}

static long by_changing_there(void)
{
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", target("SECRET"));
    *strrchr(folder, '/') = 0;
    int back = open(".", O_RDONLY | O_DIRECTORY);
    if (chdir(folder) != 0)
        return -1;
    long got = first_number(open("secret", O_RDONLY));
    return fchdir(back) == 0 ? got : -1;
}

/* By every descriptor there is: one that was left open would lead on. */
static long by_descriptors(void)
{
    for (int number = 0; number < 1024; number++) {
        char path[4096];
        snprintf(path, sizeof path, "/proc/self/fd/%d%s", number, target("SECRET"));
        int file = open(path, O_RDONLY);
        if (file >= 0)
            return first_number(file);
        file = openat(number, target("SECRET") + 1, O_RDONLY);
        if (file >= 0)
            return first_number(file);
    }
    return fail(ENOENT);
}

static long in_memory(void)
{
    int file = open(target("SECRET"), O_RDONLY);
    char *data = file < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
    return data == MAP_FAILED ? -1 : strtol(data, NULL, 10);
}

static long its_size(void)
{
    struct stat found;
    return stat(target("SECRET"), &found) == 0 ? found.st_size : -1;
}

static long listed(void)
{
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", target("SECRET"));
    *strrchr(folder, '/') = 0;
    DIR *opened = opendir(folder);
    return opened == NULL ? -1 : 1;
}

static long appended(void)
{
    int file = open(target("SECRET"), O_WRONLY | O_APPEND);
    return file < 0 ? -1 : write(file, "", 0) + 1;
}

static long made_beside(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s.made-%d", target("SECRET"), getpid());
    int made = open(path, O_WRONLY | O_CREAT, 0600);
    if (made < 0)
        return -1;
    return unlink(path) + 1;
}

static long watched(void)
{
    int watch = inotify_init1(0);
    return inotify_add_watch(watch, target("SECRET"), IN_ACCESS);
}

static long attribute(void) { return getxattr(target("SECRET"), "user.none", NULL, 0) == -1 && errno == ENODATA ? 1 : -1; }
static long changed_mode(void) { return chmod(target("SECRET"), 0666) == 0 ? 1 : -1; }
static long touched(void) { return utimensat(AT_FDCWD, target("SECRET"), NULL, 0) == 0 ? 1 : -1; }

static long knock(const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int client = socket(AF_UNIX, type, 0);
    return connect(client, (struct sockaddr *)&address, sizeof address) == 0 ? 1 : -1;
}

static long service(void) { return knock(target("SERVICE"), SOCK_STREAM); }

static long abstract_service(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *name = target("ABSTRACT");
    memcpy(address.sun_path + 1, name, strlen(name));
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t size = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
    return connect(client, (struct sockaddr *)&address, size) == 0 ? 1 : -1;
}

static long pipe_of_the_host(void) { return open(target("FIFO"), O_RDWR | O_NONBLOCK) < 0 ? -1 : 1; }

static long seen(const char *path)
{
    struct stat found;
    return stat(path, &found) == 0 ? 1 : -1;
}

static long home(void) { return seen(target("HOST_HOME")); }
static long shadow(void) { return seen("/etc/shadow"); }
static long machine(void) { return seen("/etc/machine-id") == 1 ? 1 : seen("/etc/fstab"); }
static long run_folder(void) { return seen("/run"); }
static long sys_folder(void) { return seen("/sys/kernel"); }
static long var_log(void) { return seen("/var/log"); }
static long ptmx(void) { return open("/dev/ptmx", O_RDWR | O_NOCTTY) < 0 ? -1 : 1; }
static long terminals(void) { return seen("/dev/pts"); }
static long terminal(void) { return seen("/dev/tty"); }
static long tmp(void) { return seen(target("IN_TMP")); }
static long shared_memory(void)
{
    return seen(target("IN_SHM"));
}

ATTEMPTS({"read-plainly", plainly}, {"read-by-own-root", own_root}, {"read-by-thread-root", thread_root},
         {"read-by-task-root", task_root}, {"read-by-parents-root", parents_root},
         {"read-by-working-folder", working_folder}, {"read-by-dots", dots},
         {"read-above-root", at_root}, {"read-by-symlink", by_link}, {"read-by-hard-link", by_hard_link},
         {"read-by-chdir", by_changing_there}, {"read-by-descriptors", by_descriptors},
         {"map-into-memory", in_memory}, {"stat-it", its_size}, {"list-its-folder", listed},
         {"append-to-it", appended}, {"make-beside-it", made_beside}, {"watch-it", watched},
         {"ask-its-attributes", attribute}, {"change-its-mode", changed_mode}, {"touch-it", touched},
         {"connect-to-a-service", service}, {"connect-to-an-abstract-service", abstract_service},
         {"open-a-fifo", pipe_of_the_host}, {"see-the-home", home}, {"see-shadow", shadow},
         {"see-the-machines-files", machine}, {"see-run", run_folder}, {"see-sys", sys_folder},
         {"see-var-log", var_log}, {"open-ptmx", ptmx}, {"see-terminals", terminals}, {"see-dev-tty", terminal},
         {"see-the-hosts-tmp", tmp}, {"see-the-hosts-shm", shared_memory})
