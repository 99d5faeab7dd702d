#!/usr/bin/env bash
# image.sh FOLDER: makes FOLDER/root.img and FOLDER/vmlinuz, a Debian with systemd, cgroup v2 and the user "tester".
# Needs root and a Debian or Ubuntu host. The job that run.sh boots it for is described in job.service.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=$1
suite=bookworm
# What a user's session takes, what the suite takes, and a runtime that is not Python.
packages=systemd-sysv,dbus,dbus-user-session,libpam-systemd,netbase,procps
packages+=,python3,python3-venv,libseccomp2,nodejs
say() { printf 'vm: %s\n' "$*" >&2; }

export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -qq -o DPkg::Lock::Timeout=600)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say "building the machine's image, once ..."
"${apt[@]}" update
mmdebstrap --quiet --variant=essential --include="$packages" --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' "$suite" "$work/root" >"$work/log" 2>&1 \
    || { tail -n 20 "$work/log" >&2; exit 1; }

# The cloud kernel has its disk drivers built in: no initramfs, no modules.
kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/ { print $2; exit }')
(cd "$work" && "${apt[@]}" -o APT::Sandbox::User=root download "$kernel")
dpkg-deb --fsys-tarfile "$work"/linux-image-*.deb | tar -x -C "$work" --wildcards './boot/vmlinuz-*'

root=$work/root
chroot "$root" useradd --create-home --uid 1000 --shell /bin/bash tester
# A session that outlives logins is what a desktop has.
install -d "$root/var/lib/systemd/linger"
: >"$root/var/lib/systemd/linger/tester"
printf '127.0.0.1 localhost vm\n::1 localhost vm\n' >"$root/etc/hosts"
echo vm >"$root/etc/hostname"
for unit in getty@tty1.service systemd-timesyncd.service fstrim.timer apt-daily.timer apt-daily-upgrade.timer; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
install -D -m 0644 "$here/job.service" "$root/etc/systemd/system/job.service"
install -d "$root/etc/systemd/system/multi-user.target.wants"
ln -s ../job.service "$root/etc/systemd/system/multi-user.target.wants/job.service"

mkdir "$work/image"
mv "$work"/boot/vmlinuz-* "$work/image/vmlinuz"
mke2fs -q -t ext4 -O ^has_journal -d "$root" "$work/image/root.img" 3G >/dev/null
mkdir -p "$(dirname "$target")"
# Somebody else may have been faster; either image is good.
mv -T "$work/image" "$target" 2>/dev/null || [[ -e "$target/root.img" ]]
