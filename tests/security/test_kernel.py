"""The kernel's surface: calls that must not exist, arguments that must be refused, limits that must hold."""

import os
import platform

import pytest
from arena.sandbox import SMALL, attempt_inside, attempt_outside, run_inside

X86 = platform.machine() == "x86_64"

# name: (number on x86_64, number on arm64). Outside each gives any error but ENOSYS, or succeeds.
GONE = {
    "ptrace": (101, 117),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "mount_setattr": (442, 442),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "kexec_load": (246, 104),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "swapon": (167, 224),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "clone3": (435, 435),
    "openat2": (437, 437),
}
MAY_BE_ABSENT = {
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "finit_module": (313, 273),
}


def _number(numbers: tuple[int, int]) -> int:
    return numbers[0] if X86 else numbers[1]


@pytest.mark.parametrize("name", GONE)
def test_a_call_does_not_exist_inside(name: str) -> None:
    # Bad pointers throughout: the kernel refuses the call's arguments, the filter the call itself.
    body = "return call(target, -1, -1, -1, -1, -1, 0)"
    number = _number(GONE[name])
    assert attempt_inside(body, number).refused == "ENOSYS"
    if name not in {"clone3", "reboot", "init_module", "kexec_load"}:
        assert attempt_outside(body, number).refused != "ENOSYS"


@pytest.mark.parametrize("name", MAY_BE_ABSENT)
def test_a_call_that_not_every_kernel_has_is_gone(name: str) -> None:
    assert (
        attempt_inside("return call(target, 0, 0, 0, 0, 0, 0)", _number(MAY_BE_ABSENT[name])).refused
        == "ENOSYS"
    )


def test_a_number_nobody_uses_yet_is_unknown() -> None:
    assert attempt_inside("return call(467, 0, 0, 0)").refused == "ENOSYS"


@pytest.mark.parametrize(
    "flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]
)
@pytest.mark.parametrize("children", [False, True])
def test_clone_makes_no_namespace(flag: int, children: bool) -> None:
    body = "return call(target[0], target[1] | 17, 0, 0, 0, 0) or os._exit(0)"
    inside = attempt_inside(body, (_number((56, 220)), flag), subprocess=children)
    assert inside.refused in {"ENOSYS", "EPERM"}


@pytest.mark.parametrize("request_code", [0x5412, 0x541C, 0x5423], ids=["TIOCSTI", "TIOCLINUX", "TIOCSETD"])
@pytest.mark.parametrize("high", [0, 1 << 32, 0xFFFFFFFF << 32], ids=["plain", "bit 32", "all high bits"])
def test_a_terminal_cannot_be_typed_into(request_code: int, high: int) -> None:
    body = "return call(target[0], 0, target[1], ctypes.byref(ctypes.c_char(b'x')))"
    number = _number((16, 29))
    signed = request_code | high
    signed -= (1 << 64) if signed >= 1 << 63 else 0
    assert attempt_inside(body, (number, signed)).refused == "EPERM"
    # Standard input is no terminal here, so the kernel itself would say something else.
    assert attempt_outside(body, (number, signed)).refused in {"ENOTTY", "EIO", "EINVAL", "EPERM"}


FAMILIES = {
    "AF_VSOCK": 40,
    "AF_ALG": 38,
    "AF_PACKET": 17,
    "AF_BLUETOOTH": 31,
    "AF_KEY": 15,
    "AF_XDP": 44,
    "AF_CAN": 29,
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("high", [0, 1 << 32])
def test_a_socket_family_is_closed(name: str, high: int) -> None:
    body = "return call(target[0], target[1], 3, 0) >= 0"
    assert attempt_inside(body, (_number((41, 198)), FAMILIES[name] | high)).refused == "ENOSYS"


@pytest.mark.parametrize("protocol", [4, 9, 15, 16])
def test_netlink_is_for_routes_only(protocol: int) -> None:
    body = "return call(target[0], 16, 3, target[1]) >= 0"
    number = _number((41, 198))
    assert attempt_inside(body, (number, protocol)).refused == "ENOSYS"
    assert attempt_inside(body, (number, 0)).got is True


def test_no_second_listener_and_no_randomisation_switch() -> None:
    listener = "return call(target, 1, 8, 0)"
    assert attempt_inside(listener, _number((317, 277))).refused == "EPERM"
    assert attempt_outside(listener, _number((317, 277))).refused in {"EFAULT", "EACCES"}
    personality = "return call(target, 0x0040000) >= 0"
    assert attempt_inside(personality, _number((135, 92))).refused == "ENOSYS"
    assert attempt_outside(personality, _number((135, 92))).got is True


def test_memory_is_bounded() -> None:
    """By an end of everything where a cgroup counts it, by a refusal where RLIMIT_DATA does."""
    body = "return len(b'x' * target)"
    program = "import sys; print(len(b'x' * int(sys.argv[1])))"
    ended = run_inside(program, [str(96 << 20)], limits=SMALL)
    assert ended.exit.out_of_memory or b"MemoryError" in ended.errors
    assert ended.output == b""
    assert attempt_inside(body, 8 << 20, limits=SMALL).got == 8 << 20
    assert attempt_outside(body, 96 << 20).got == 96 << 20


def test_descriptors_are_bounded() -> None:
    body = "return len([os.dup(1) for _ in range(target)])"
    assert attempt_inside(body, 300).refused == "EMFILE"
    assert attempt_inside(body, 200).got == 200


def test_no_core_is_dumped_and_no_memory_is_locked() -> None:
    body = """
        import resource
        return [resource.getrlimit(r)[1] for r in (resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK)]
    """
    core, locked = attempt_inside(body).got
    assert core <= 1
    assert locked <= 64 << 10


@pytest.mark.parametrize("name", ["kallsyms", "interrupts", "modules", "keys", "timer_list", "config.gz"])
def test_what_proc_says_of_the_machine_is_hidden(name: str) -> None:
    body = "return len(open('/proc/' + target, 'rb').read())"
    if os.path.exists(f"/proc/{name}"):
        assert attempt_inside(body, name).got == 0


def test_settings_of_the_kernel_are_frozen() -> None:
    body = "return open('/proc/sys/' + target, 'w').write('x')"
    for name in ("kernel/hostname", "user/max_user_namespaces", "kernel/core_pattern", "net/ipv4/ip_forward"):
        assert attempt_inside(body, name).refused == "EROFS"


@pytest.mark.skipif(not X86, reason="int 0x80 is an instruction of x86")
def test_the_32_bit_entrance_is_deadly() -> None:
    program = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3]))  # mov eax, 20 (getpid); int 0x80; ret
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
print(ctypes.CFUNCTYPE(ctypes.c_int)(address)())
"""
    inside = run_inside(program)
    assert inside.exit.signal == 31
    assert inside.output == b""
