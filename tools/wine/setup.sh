#!/usr/bin/env bash
# A Windows on which the tests below tests/windows run, without Windows: Wine, and a real CPython for Windows in it.
#   setup.sh            sets it up below ~/.cache/mcp-client/wine (once), and prints that folder
# CPython's own DLLs come from a wheel that ships them, its library in Python from this machine's CPython of the same
# version; python.exe, and python3.dll for wheels of the stable ABI, are made here with mingw-w64.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore DEBIAN_FRONTEND=noninteractive

VERSION=3.11
# Grows when what is made here changes.
EDITION=2
WHEELS=(certifi click colorama filelock h11 httpcore httpx pydantic pyyaml socksio structlog zlib-ng)
TOOLS=(psutil pytest pytest-timeout)

say() { printf '%s\n' "$*" >&2; }
fail() { say "setup: $1"; shift; for line in "$@"; do say "       $line"; done; exit 77; }

have_packages() {
    local missing=()
    command -v wine >/dev/null || missing+=(wine wine64)
    command -v x86_64-w64-mingw32-gcc >/dev/null || missing+=(gcc-mingw-w64-x86-64-win32)
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null || fail "missing: ${missing[*]} (to test Windows)" "Those are Debian's names."
    ((EUID == 0)) || fail "missing: ${missing[*]} (to test Windows)" "Run this once, then the same make command again:" \
        "sudo apt-get install -y --no-install-recommends ${missing[*]}"
    say "Installing ${missing[*]} ..."
    mkdir -p .build
    { apt-get install -y --no-install-recommends "${missing[@]}" \
        || { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; }; } >.build/wine.log 2>&1 </dev/null \
        || { tail -n 20 .build/wine.log >&2; fail "apt-get could not install: ${missing[*]}"; }
}

# The standard library in Python has to be that of the DLLs.
host_python() {
    local candidate
    for candidate in "python$VERSION" .venv/bin/python python3; do
        "$candidate" -c "import sys, ensurepip; assert '%d.%d' % sys.version_info[:2] == '$VERSION'" 2>/dev/null \
            && { command -v "$candidate"; return; }
    done
    fail "no Python $VERSION here, whose library the Windows Python takes" "Install python$VERSION and python$VERSION-venv."
}

make_python() {
    local target=$1 work=$2 python pip short=${VERSION/./}
    python=$(host_python)
    pip=("$python" -m pip -q)
    "$python" -c 'import pip' 2>/dev/null || pip=(.venv/bin/python -m pip -q)
    local windows=(--only-binary=:all: --platform win_amd64 --python-version "$VERSION" --implementation cp)
    "${pip[@]}" download --no-deps "${windows[@]}" -d "$work" panda3d==1.10.16
    "$python" -m zipfile -e "$work"/panda3d*.whl "$work/wheel"
    mkdir -p "$target/DLLs" "$target/Lib"
    cp "$work"/wheel/deploy_libs/*.pyd "$target/DLLs/"
    cp "$work"/wheel/deploy_libs/{"python$short",VCRUNTIME140,libffi-8,libcrypto-3,libssl-3,sqlite3}.dll "$target/"
    tar -c -C "$("$python" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" --exclude=test --exclude=__pycache__ \
        --exclude=site-packages --exclude=dist-packages --exclude=lib-dynload --exclude='config-*' --exclude=idlelib \
        --exclude='*.so' . | tar -x -C "$target/Lib"
    cat >"$work/python.c" <<'C'
#include <windows.h>
int wmain(int argc, wchar_t **argv) {
    HMODULE library = LoadLibraryW(L"python" DIGITS L".dll");
    if (!library) return 120;
    return ((int (*)(int, wchar_t **))GetProcAddress(library, "Py_Main"))(argc, argv);
}
C
    x86_64-w64-mingw32-gcc -O1 -municode -DDIGITS="L\"$short\"" -o "$target/python.exe" "$work/python.c"
    x86_64-w64-mingw32-objdump -p "$target/python$short.dll" | awk -v n="$short" '
        BEGIN { print "LIBRARY python3.dll\nEXPORTS" }
        /\[Ordinal\/Name Pointer\] Table/ { names = 1; next }
        names && NF == 0 { names = 0 }
        names { print $NF "=python" n "." $NF }' >"$work/python3.def"
    echo 'int DllMain() { return 1; }' >"$work/empty.c"
    x86_64-w64-mingw32-gcc -shared -nostdlib -e DllMain -o "$target/python3.dll" "$work/empty.c" "$work/python3.def"
    # Older Wine lacks the DLL that programs in Rust get their random numbers from.
    cat >"$work/random.c" <<'C'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) { return SystemFunction036(data, (ULONG)size); }
C
    x86_64-w64-mingw32-gcc -shared -o "$target/bcryptprimitives.dll" "$work/random.c" -ladvapi32
    "${pip[@]}" install "${windows[@]}" --target "$target/Lib/site-packages" "${WHEELS[@]}" "${TOOLS[@]}"
    # Every import below Wine reads through three layers: compile once, and not in each run.
    "$python" -m compileall -qq -j 0 "$target/Lib" >/dev/null || true
}

main() {
    local cache="${XDG_CACHE_HOME:-${HOME:-$PWD/.build/home}/.cache}/mcp-client/wine"
    have_packages
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock 9
    if [[ ! -e "$cache/python-$VERSION-$EDITION/.ready" ]]; then
        say "Making a Windows Python $VERSION in $cache ..."
        local work
        work=$(mktemp -d "$cache/making.XXXXXX")
        # shellcheck disable=SC2064 # its value now
        trap "rm -rf '$work'" EXIT
        make_python "$work/python" "$work" >&2
        touch "$work/python/.ready"
        rm -rf "$cache/python-$VERSION-$EDITION"
        mv "$work/python" "$cache/python-$VERSION-$EDITION"
    fi
    printf '%s\n' "$cache"
}

main
