/* System calls that must not exist inside, each with arguments that work where they do. */
#include "../attack.h"
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/kcmp.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

static pid_t child;

/* A child that waits; every attempt on it is an attempt on a process of one's own. */
static pid_t victim(void)
{
    if (child == 0 && (child = fork()) == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pause();
        _exit(0);
    }
    return child;
}

static long in_place(long result)
{
    return result == -1 ? -1 : 1;
}

static char word[8] = "inside";

static long traceme(void) { return ptrace(PTRACE_TRACEME, 0, 0, 0); }
static long ptrace_traceme(void) { return in_child(traceme); }
static long ptrace_seize(void) { return ptrace(PTRACE_SEIZE, victim(), 0, 0); }

static long read_memory(void)
{
    char copy[8];
    struct iovec local = {copy, 8}, remote = {word, 8};
    return syscall(SYS_process_vm_readv, victim(), &local, 1, &remote, 1, 0);
}

static long write_memory(void)
{
    struct iovec local = {word, 8}, remote = {word, 8};
    return syscall(SYS_process_vm_writev, victim(), &local, 1, &remote, 1, 0);
}

static long take_descriptor(void)
{
    int process = syscall(SYS_pidfd_open, victim(), 0);
    return process < 0 ? -1 : in_place(syscall(SYS_pidfd_getfd, process, 1, 0));
}

static long compare_processes(void)
{
    return syscall(SYS_kcmp, getpid(), victim(), KCMP_VM, 0, 0) == -1 ? -1 : 1;
}

static long advise_process(void)
{
    int process = syscall(SYS_pidfd_open, getpid(), 0);
    struct iovec range = {(void *)((uintptr_t)word & ~4095ul), 4096};
    return in_place(syscall(440, process, &range, 1, MADV_COLD, 0));
}

static long move_pages(void)
{
    void *page = word;
    int node = 0, status = 0;
    return in_place(syscall(SYS_move_pages, 0, 1, &page, &node, &status, 0) < 0 ? -1 : 0);
}

static long unshare_user(void) { return unshare(CLONE_NEWUSER); }
static long unshare_mounts(void) { return unshare(CLONE_NEWNS); }
static long unshare_network(void) { return unshare(CLONE_NEWNET); }
static long unshare_files(void) { return unshare(CLONE_FILES | CLONE_FS); }
static long new_user(void) { return in_child(unshare_user); }
static long new_mounts(void) { return in_child(unshare_mounts); }
static long new_network(void) { return in_child(unshare_network); }
static long new_files(void) { return in_child(unshare_files); }

static long enter(const char *path, int kind)
{
    int space = open(path, O_RDONLY);
    return space < 0 ? -1 : setns(space, kind);
}

static long enter_network(void) { return enter("/proc/self/ns/net", CLONE_NEWNET); }
static long enter_uts(void) { return enter("/proc/self/ns/uts", CLONE_NEWUTS); }
static long enter_by_process(void)
{
    int process = syscall(SYS_pidfd_open, getpid(), 0);
    return process < 0 ? -1 : setns(process, CLONE_NEWUTS);
}

static long mount_tmpfs(void) { return mount("tmpfs", "/tmp", "tmpfs", 0, NULL); }
static long mount_proc(void) { return mount("proc", "/proc", "proc", 0, NULL); }
static long bind_mount(void) { return mount("/usr", "/tmp", NULL, MS_BIND, NULL); }
static long remount(void) { return mount(NULL, "/proc", NULL, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL); }
static long unmount(void) { return umount2("/proc", MNT_DETACH); }
static long change_root(void) { return chroot("/"); }
static long pivot(void) { return syscall(SYS_pivot_root, "/tmp", "/tmp"); }
static long open_tree_of(void) { return in_place(syscall(SYS_open_tree, AT_FDCWD, "/usr", 1 | O_CLOEXEC)); }
static long open_filesystem(void) { return in_place(syscall(SYS_fsopen, "tmpfs", 0)); }
static long open_superblock(void) { return in_place(syscall(SYS_fspick, AT_FDCWD, "/proc", 0)); }

static long set_attributes(void)
{
    struct { uint64_t set, clear, propagation, space; } request = {8, 0, 0, 0};
    return syscall(SYS_mount_setattr, AT_FDCWD, "/proc", 0, &request, sizeof request);
}

static long kernel_program(void)
{
    union bpf_attr request = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    return in_place(syscall(SYS_bpf, BPF_MAP_CREATE, &request, sizeof request));
}

static long performance_event(void)
{
    struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof event,
                                    .config = PERF_COUNT_SW_TASK_CLOCK, .exclude_kernel = 1};
    return in_place(syscall(SYS_perf_event_open, &event, 0, -1, -1, 0));
}

static long fault_handler(void) { return in_place(syscall(SYS_userfaultfd, 1 | O_CLOEXEC)); }

static long ring(void)
{
    struct io_uring_params parameters = {0};
    return in_place(syscall(SYS_io_uring_setup, 4, &parameters));
}

static long old_ring(void)
{
    unsigned long context = 0;
    return syscall(SYS_io_setup, 8, &context);
}

static long store_key(void) { return in_place(syscall(SYS_add_key, "user", "attack", "x", 1, KEY_SPEC_PROCESS_KEYRING)); }
static long find_key(void) { return in_place(syscall(SYS_request_key, "user", "none", NULL, KEY_SPEC_PROCESS_KEYRING)); }
static long list_keys(void) { return in_place(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1)); }

struct handle { unsigned size; int type; unsigned char data[128]; };

static long name_handle(void)
{
    struct handle handle = {.size = 128};
    int mount;
    return syscall(SYS_name_to_handle_at, AT_FDCWD, "/tmp", &handle, &mount, 0);
}

/* CVE-2014-3519 and its kin: inode 2 is the root of most file systems of the host. */
static long open_handle(void)
{
    struct handle handle = {.size = 8, .type = 1, .data = {2}};
    int anywhere = open("/", O_RDONLY | O_DIRECTORY);
    return in_place(syscall(SYS_open_by_handle_at, anywhere, &handle, O_RDONLY));
}

static long set_hostname(void) { return sethostname("attacker", 8); }
static long set_domain(void) { return setdomainname("attacker", 8); }
static long watch_everything(void) { return in_place(syscall(SYS_fanotify_init, 0x200, O_RDONLY)); }
static long secret_memory(void) { return in_place(syscall(SYS_memfd_secret, 0)); }

static long resolve_beneath(void)
{
    struct { uint64_t flags, mode, resolve; } how = {O_RDONLY, 0, 0};
    return in_place(syscall(437, AT_FDCWD, "/", &how, sizeof how));
}

static long child_by_clone3(uint64_t flags)
{
    struct clone_args arguments = {.flags = flags, .exit_signal = SIGCHLD};
    long made = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (made == 0)
        _exit(0);
    return in_place(made);
}

static long clone3_plain(void) { return child_by_clone3(0); }
static long clone3_user(void) { return child_by_clone3(CLONE_NEWUSER); }
static long list_mounts(void)
{
    struct { uint32_t size, spare; uint64_t mount, parameter; } request = {24, 0, -1ull, 0};
    uint64_t ids[64];
    return in_place(syscall(458, &request, ids, 64, 0));
}

/* Mounts last, since those outside change what the attempts before them look at. */
ATTEMPTS({"ptrace-traceme", ptrace_traceme}, {"ptrace-seize-child", ptrace_seize},
         {"read-a-childs-memory", read_memory}, {"write-a-childs-memory", write_memory},
         {"take-a-descriptor", take_descriptor}, {"compare-processes", compare_processes},
         {"advise-a-process", advise_process}, {"move-pages", move_pages}, {"unshare-user", new_user},
         {"unshare-mounts", new_mounts}, {"unshare-network", new_network}, {"unshare-files", new_files},
         {"setns-network", enter_network}, {"setns-uts", enter_uts}, {"setns-by-pidfd", enter_by_process},
         {"bpf-map", kernel_program}, {"perf-event", performance_event}, {"userfaultfd", fault_handler},
         {"io-uring", ring}, {"io-setup", old_ring}, {"add-key", store_key}, {"request-key", find_key},
         {"keyctl", list_keys}, {"name-to-handle", name_handle}, {"open-by-handle", open_handle},
         {"sethostname", set_hostname}, {"setdomainname", set_domain}, {"fanotify", watch_everything},
         {"memfd-secret", secret_memory}, {"openat2", resolve_beneath}, {"clone3", clone3_plain},
         {"clone3-newuser", clone3_user}, {"listmount", list_mounts}, {"open-tree", open_tree_of},
         {"fsopen", open_filesystem}, {"fspick", open_superblock}, {"mount-setattr", set_attributes},
         {"remount-proc", remount}, {"bind-mount", bind_mount}, {"mount-tmpfs", mount_tmpfs},
         {"mount-proc", mount_proc}, {"umount-proc", unmount}, {"pivot-root", pivot}, {"chroot", change_root})
