#!/usr/bin/env bash
# bare_root.sh FOLDER: the smallest Debian that boots nothing: no Python, no apt. Needs root.
# bare_root.sh FOLDER enter UID COMMAND...: run a command as that user with FOLDER as the root of a mount namespace of
# its own (in a mere chroot the kernel makes no user namespaces). `$SHARED` is seen inside at the same path.
set -euo pipefail
root=$1
shift
if [[ "${1:-}" == enter ]]; then
    shift
    exec unshare --mount --propagation private bash -c '
        set -e
        root=$1 uid=$2; shift 2
        mount --rbind "$root" "$root"
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount --rbind /sys "$root/sys"
        mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
        mount -t tmpfs -o mode=0755 tmpfs "$root/home"
        mkdir -m 0700 "$root/home/user" && chown "$uid:$uid" "$root/home/user"
        if [[ -n "${SHARED:-}" ]]; then mkdir -p "$root$SHARED"; mount --rbind "$SHARED" "$root$SHARED"; fi
        cd "$root"
        mkdir -p .before
        pivot_root . .before
        cd /
        umount -l /.before
        exec setpriv --reuid "$uid" --regid "$uid" --clear-groups env -i HOME=/home/user PATH=/usr/bin:/bin LANG=C.UTF-8 "$@"
    ' bash "$root" "$@"
fi
[[ -e "$root/bin/sh" ]] && exit
export DEBIAN_FRONTEND=noninteractive
command -v mmdebstrap >/dev/null || apt-get -qq install -y --no-install-recommends mmdebstrap >&2
mkdir -p "$(dirname "$root")"
work=$(mktemp -d "$root.XXXXXX")
trap 'rm -rf "$work"' EXIT
mmdebstrap --quiet --variant=essential --include=mount --aptopt='Acquire::Languages "none"' "${SUITE:-bookworm}" "$work/root" >&2
# Somebody else may have been faster; either will do.
mv -T "$work/root" "$root" 2>/dev/null || [[ -e "$root/bin/sh" ]]
