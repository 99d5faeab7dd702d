"""The parts of a Seatbelt profile that are the same for every server, in SBPL.

Apple documents none of it but sandbox-exec(1); the operations and filters are those of the profiles that
macOS itself carries below /System/Library/Sandbox/Profiles and /usr/share/sandbox, and of browsers. A name
that the host's compiler does not know is an error, and then nothing runs.
"""

# Not all of them are covered by "default" on every release, so these are said.
START = (
    "(version 1)",
    "(deny default)",
    "(deny process-info*)",
    "(deny nvram*)",
    "(deny iokit-get-properties)",
    "(deny file-map-executable)",
)

# Programs, libraries and what they read on their way up; no user's file lies below any of these.
_SYSTEM = """
    /System
    /bin
    /sbin
    /usr/bin
    /usr/lib
    /usr/libexec
    /usr/sbin
    /usr/share
    /Library/Apple
    /Library/Developer/CommandLineTools/usr
    /Library/Developer/CommandLineTools/Library/Frameworks
    /opt/homebrew/Cellar
    /opt/homebrew/Frameworks
    /opt/homebrew/bin
    /opt/homebrew/lib
    /opt/homebrew/opt
    /opt/homebrew/share
    /usr/local/Cellar
    /usr/local/Frameworks
    /usr/local/bin
    /usr/local/lib
    /usr/local/opt
    /usr/local/share
""".split()
# Of /etc and /var only what is the same for every program.
_READ_ONLY_FILES = """
    /
    /private/etc/group
    /private/etc/hosts
    /private/etc/localtime
    /private/etc/passwd
    /private/etc/protocols
    /private/etc/services
    /private/etc/shells
""".split()
_READ_ONLY_FOLDERS = """
    /opt/homebrew/etc/ca-certificates
    /opt/homebrew/etc/openssl@3
    /private/etc/ssl
    /private/var/db/dyld
    /private/var/db/timezone
    /usr/local/etc/ca-certificates
    /usr/local/etc/openssl@3
""".split()
_PASSED_THROUGH = """
    /Library
    /Library/Developer
    /Library/Developer/CommandLineTools
    /etc
    /opt
    /opt/homebrew
    /private
    /private/etc
    /private/tmp
    /private/var
    /private/var/db
    /private/var/tmp
    /tmp
    /usr
    /usr/local
    /var
    /dev
""".split()

SYSTEM_PROGRAMS = tuple(f'(subpath "{path}")' for path in _SYSTEM)

_READ_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/dtracehelper")
_WRITTEN_DEVICES = ("/dev/null", "/dev/zero", "/dev/dtracehelper")


def _allow(operations: str, *filters: str) -> str:
    return "\n".join([f"(allow {operations}", *(f"  {one}" for one in filters)]) + ")"


def _literals(paths: "tuple[str, ...] | list[str]") -> list[str]:
    return [f'(literal "{path}")' for path in paths]


FILES = (
    _allow("file-read-metadata", *_literals(_PASSED_THROUGH)),
    _allow("file-read*", *_literals(_READ_ONLY_FILES)),
    _allow("file-read*", *(f'(subpath "{path}")' for path in (*_SYSTEM, *_READ_ONLY_FOLDERS))),
    _allow("file-map-executable", *SYSTEM_PROGRAMS),
    _allow("file-read*", *_literals(_READ_DEVICES)),
    _allow("file-write-data", *_literals(_WRITTEN_DEVICES)),
    # An open file again, by its number: macOS gives the same rights, not new ones.
    _allow("file-read* file-write-data", '(subpath "/dev/fd")', *_literals(["/dev/stdin", "/dev/stdout"])),
    _allow("file-write-data", *_literals(["/dev/stderr"])),
    _allow("file-ioctl", *_literals(["/dev/dtracehelper"])),
)

# Whatever a folder is granted for.
NEVER_WRITTEN = ("(deny file-write-setugid)",)

ONE_PROCESS = (
    "(deny process-fork)",
    "(allow process-info* (target self))",
    "(allow signal (target self))",
)
PROCESSES = (
    "(allow process-fork)",
    "(allow process-info* (target same-sandbox))",
    "(allow signal (target same-sandbox))",
    # Locks of Python's multiprocessing.
    "(allow ipc-posix-sem)",
)

# What a C library, Python, Node and Go ask the kernel for; nothing that lists processes (kern.proc).
_SETTINGS = """
    hw.activecpu hw.busfrequency_compat hw.byteorder hw.cacheconfig hw.cachelinesize hw.cachelinesize_compat
    hw.cpufamily hw.cpufrequency hw.cpufrequency_compat hw.cpusubfamily hw.cputype hw.cpusubtype
    hw.l1dcachesize hw.l1dcachesize_compat hw.l1icachesize hw.l1icachesize_compat hw.l2cachesize
    hw.l2cachesize_compat hw.l3cachesize hw.l3cachesize_compat hw.logicalcpu hw.logicalcpu_max hw.machine
    hw.memsize hw.model hw.ncpu hw.nperflevels hw.packages hw.pagesize hw.pagesize_compat hw.physicalcpu
    hw.physicalcpu_max hw.tbfrequency hw.tbfrequency_compat hw.vectorunit
    kern.argmax kern.hostname kern.iossupportversion kern.maxfilesperproc kern.ngroups kern.osproductversion
    kern.osrelease kern.ostype kern.osvariant_status kern.osversion kern.secure_kernel kern.usrstack64
    kern.version kern.willshutdown
    security.mac.lockdown_mode_state sysctl.name2oid sysctl.proc_cputype sysctl.proc_native
    vm.loadavg
""".split()
_SETTINGS_BELOW = ("hw.optional.", "hw.perflevel", "machdep.cpu.")

# Names of users, the time zone's changes, the system's log; no keychain, no preferences, no other program.
_SERVICES = (
    "com.apple.logd",
    "com.apple.system.logger",
    "com.apple.system.notification_center",
    "com.apple.system.opendirectoryd.libinfo",
    "com.apple.system.opendirectoryd.membership",
)

SYSTEM = (
    _allow(
        "sysctl-read",
        *(f'(sysctl-name "{name}")' for name in _SETTINGS),
        *(f'(sysctl-name-prefix "{name}")' for name in _SETTINGS_BELOW),
    ),
    _allow("mach-lookup", *(f'(global-name "{name}")' for name in _SERVICES)),
    '(allow ipc-posix-shm-read* (ipc-posix-name "apple.shm.notification_center"))',
)
