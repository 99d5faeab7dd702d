/* Other ways into the kernel than the native call with clean arguments; one attempt a run, since some kill. */
#include "../attack.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ptrace.h>

#define HIGH (1ul << 32)

static long raw(unsigned long number, unsigned long a, unsigned long b, unsigned long c)
{
#ifdef __x86_64__
    long result;
    register unsigned long r10 __asm__("r10") = 0;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
#else
    register unsigned long number_register __asm__("x8") = number;
    register unsigned long result __asm__("x0") = a;
    register unsigned long second __asm__("x1") = b, third __asm__("x2") = c;
    __asm__ volatile("svc 0" : "+r"(result) : "r"(number_register), "r"(second), "r"(third) : "memory");
#endif
    return (long)result < 0 && (long)result > -4096 ? fail(-(long)result) : (long)result;
}

/* The kernel looks at 32 bits of a number; a filter that looked at 64 would let these pass. */
static long high_unshare(void) { return raw(HIGH | SYS_unshare, CLONE_NEWUSER, 0, 0); }
static long high_ptrace(void) { return raw(HIGH | SYS_ptrace, PTRACE_TRACEME, 0, 0); }
static long all_high_unshare(void) { return raw(0x7fffffffull << 32 | SYS_unshare, CLONE_NEWUSER, 0, 0); }

/* Arguments of 32 bits with rubbish in the upper half. */
static long high_clone(void)
{
    long made = raw(SYS_clone, HIGH | CLONE_NEWUSER | SIGCHLD, 0, 0);
    if (made == 0)
        _exit(0);
    return made == -1 ? -1 : 1;
}

static long high_family(void) { return raw(SYS_socket, HIGH | AF_ALG, SOCK_SEQPACKET, 0) == -1 ? -1 : 1; }
static long high_chmod(void)
{
    int file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    return file < 0 ? -1 : raw(SYS_fchmod, file, HIGH | 04755, 0);
}

static long thread_in_namespace(void)
{
    long made = raw(SYS_clone, CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWNET, 0, 0);
    return made == -1 ? -1 : 1;
}

static long sibling(void)
{
    long made = raw(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0);
    if (made == 0)
        _exit(0);
    return made == -1 ? -1 : 1;
}

/* More filters may be added, but none that asks a listener, and none makes the others milder. */
static long filter(unsigned long flags)
{
    struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {1, allow};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, (unsigned long)&program);
}

static long listener(void) { return filter(SECCOMP_FILTER_FLAG_NEW_LISTENER) == -1 ? -1 : 1; }
static long high_listener(void) { return filter(HIGH | SECCOMP_FILTER_FLAG_NEW_LISTENER) == -1 ? -1 : 1; }
static long threads_listener(void) { return filter(SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC | 1 << 4) == -1 ? -1 : 1; }
static long milder(void) { return filter(0) == -1 ? -1 : raw(SYS_unshare, CLONE_NEWUSER, 0, 0); }
static long undo_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0); }
static long randomise(void) { return raw(SYS_personality, 0x0040000, 0, 0) == -1 ? -1 : 1; }
static long high_randomise(void) { return raw(SYS_personality, HIGH | 0x0040000, 0, 0) == -1 ? -1 : 1; }

#ifdef __x86_64__
#define X32 0x40000000ul
static long x32_getpid(void) { return raw(X32 | 39, 0, 0, 0); }
static long x32_ptrace(void) { return raw(X32 | 521, 0, 0, 0); }
static long x32_execve(void) { return raw(X32 | 520, 0, 0, 0); }
static long high_x32(void) { return raw(HIGH | X32 | 39, 0, 0, 0); }

static unsigned char *page(void)
{
    /* Below 4 GiB, where 32-bit code can run. */
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
}

/* mov eax, 20 (getpid of i386); int 0x80; ret */
static long interrupt(void)
{
    unsigned char *code = page();
    memcpy(code, "\xb8\x14\0\0\0\xcd\x80\xc3", 8);
    return ((int (*)(void))code)() > 0;
}

static unsigned long saved_stack __attribute__((used));

/* Into the segment for 32-bit code (0x23), int 0x80 there, and back; all of it at addresses of 32 bits. */
static long compatibility_mode(void)
{
    unsigned char *code = page(), *stack = page();
    memcpy(code, "\xb8\x14\0\0\0\xcd\x80\xcb", 8);           /* mov eax, 20; int 0x80; retf */
    memcpy(code + 64, "\xff\x1d\x02\0\0\0\xc3", 7);          /* lcall *72; ret */
    struct __attribute__((packed)) { uint32_t offset; uint16_t segment; } to = {(uint32_t)(uintptr_t)code, 0x23};
    memcpy(code + 72, &to, sizeof to);
    unsigned long result = (unsigned long)(code + 64);
    __asm__ volatile("mov %%rsp, saved_stack(%%rip)\n\tmov %1, %%rsp\n\tcall *%0\n\tmov saved_stack(%%rip), %%rsp"
                     : "+a"(result) : "r"(stack + 4000)
                     : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory");
    return (int)result > 0;
}
#endif

ATTEMPTS({"high-bit-unshare", high_unshare}, {"high-bit-ptrace", high_ptrace},
         {"all-high-bits-unshare", all_high_unshare},
         {"clone-newuser-high-bit", high_clone}, {"socket-family-high-bit", high_family},
         {"setuid-mode-high-bit", high_chmod}, {"thread-in-a-namespace", thread_in_namespace},
         {"child-of-init", sibling}, {"second-listener", listener}, {"second-listener-high-bit", high_listener},
         {"second-listener-all-threads", threads_listener}, {"milder-filter", milder},
         {"undo-no-new-privs", undo_privileges}, {"no-randomisation", randomise},
         {"no-randomisation-high-bit", high_randomise},
#ifdef __x86_64__
         {"x32-getpid", x32_getpid}, {"x32-ptrace", x32_ptrace}, {"x32-execve", x32_execve},
         {"x32-high-bit", high_x32}, {"int-0x80", interrupt}, {"compatibility-mode", compatibility_mode},
#endif
)
