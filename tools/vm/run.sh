#!/usr/bin/env bash
# run.sh [-t SECONDS] [-o FOLDER] FILES.tar COMMAND...
# Boots a throw-away Debian under systemd with cgroup v2, unpacks FILES.tar in the home of the user "tester" (uid 1000),
# runs COMMAND there in a real login session, shows its output while it runs, and exits with its status.
# 125: the machine did not report. 77: this host can make none, and says why. What COMMAND leaves in ~/out comes back to FOLDER.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
say() { printf 'vm: %s\n' "$*" >&2; }
fail() { say "$1"; shift; for line in "$@"; do say "    $line"; done; exit 77; }

limit=900 out=
while getopts t:o: option; do
    case $option in t) limit=$OPTARG ;; o) out=$OPTARG ;; *) exit 2 ;; esac
done
shift $((OPTIND - 1))
files=$1
shift

[[ $(uname -m) == x86_64 ]] || fail "the virtual machine is one for x86_64 hosts"
[[ -n "${HOME:-}" ]] || export HOME="$PWD/.build/home"
key=$(cat "$here/image.sh" "$here/job.service" | sha256sum | cut -c1-16)
image=${MCP_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mcp-client-vm}/$key

missing=()
command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
[[ -e "$image/root.img" ]] || command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
if ((${#missing[@]})); then
    ((EUID == 0)) || fail "missing: ${missing[*]}" "Run this once: sudo apt-get install -y --no-install-recommends ${missing[*]}"
    say "installing ${missing[*]} ..."
    export DEBIAN_FRONTEND=noninteractive
    install=(apt-get -qq -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "${missing[@]}")
    "${install[@]}" >/dev/null 2>&1 || { apt-get -qq update; "${install[@]}" >/dev/null; } || fail "apt-get could not install them"
fi
if [[ ! -e "$image/root.img" ]]; then
    ((EUID == 0)) || fail "no image yet, and only root can make one" "Run this once: sudo MCP_VM_CACHE=$(dirname "$image") make test-vm"
    bash "$here/image.sh" "$image" || fail "the image could not be built"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 143' INT TERM
printf '%q ' "$@" >"$work/command"
cp "$files" "$work/in.tar"
tar -rf "$work/in.tar" -C "$work" command
truncate -s 64M "$work/out.img"

disk() { echo "-drive file=$1,format=raw,if=none,id=$2,snapshot=$3 -device nvme,drive=$2,serial=$2"; }
# Emulated even where there is KVM: nested virtualisation fails in too many ways. Every boot starts from the same image (snapshot=on). What only slows emulation down is off.
set +e
# shellcheck disable=SC2046 # options are words
timeout --foreground -k 5 "$limit" qemu-system-x86_64 -accel tcg,thread=multi -cpu max,la57=off -smp 2 -m 2048 -nodefaults -no-user-config \
    -display none -no-reboot -kernel "$image/vmlinuz" \
    -append "console=ttyS0 quiet root=/dev/nvme0n1 rw panic=-1 mitigations=off nokaslr systemd.show_status=no" \
    -serial "file:$work/console" -serial stdio \
    $(disk "$image/root.img" root on) $(disk "$work/in.tar" in off) $(disk "$work/out.img" out off) </dev/null
mkdir "$work/out"
tar -xf "$work/out.img" -C "$work/out" --no-same-owner 2>/dev/null
status=$(cat "$work/out/status" 2>/dev/null || echo 125)
[[ -z "$out" ]] || { mkdir -p "$out" && cp -r "$work/out/." "$out"; }
((status != 125)) || tail -n 20 "$work/console" >&2
exit "$status"
