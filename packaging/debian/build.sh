#!/usr/bin/env bash
# build.sh WHEEL: makes dist/mcp-client_VERSION_ARCH.deb, the program with its own interpreter below /usr/lib/mcp-client.
# It is not a package for Debian's own archive: that wants each dependency from Debian, and stable's pydantic, filelock
# and structlog are too old, while pyseccomp is not in it. It is made with dpkg-deb alone, and needs no network once
# the dependencies are in pip's cache.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
wheel=$1
umask 022
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
version=$(basename "$wheel" | cut -d- -f2)
arch=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
lib=$root/usr/lib/mcp-client
mkdir -p "$root/DEBIAN" "$lib" "$root/usr/bin" "$root/usr/share/doc/mcp-client" "$root/usr/share/man/man1"

needs=$(.venv/bin/python tools/binary/build.py --tree "$lib" "$wheel")
glibc=$(grep -oE 'glibc [0-9.]+' <<<"$needs" | cut -d' ' -f2)
interpreter=$(basename "$lib"/bin/python3.*)
rm "$lib/start.py"
for name in mcp mcp-client; do
    sed "s/@INTERPRETER@/$interpreter/" packaging/debian/mcp.in >"$root/usr/bin/$name"
    chmod 0755 "$root/usr/bin/$name"
    install -D -m 0644 "packaging/completions/bash/$name" "$root/usr/share/bash-completion/completions/$name"
    install -D -m 0644 "packaging/completions/zsh/_$name" "$root/usr/share/zsh/vendor-completions/_$name"
    install -D -m 0644 "packaging/completions/fish/$name.fish" "$root/usr/share/fish/vendor_completions.d/$name.fish"
    gzip -9n <"packaging/man/$name.1" >"$root/usr/share/man/man1/$name.1.gz"
done
mv "$lib/licenses" "$root/usr/share/doc/mcp-client/licenses"
install -m 0644 packaging/debian/copyright "$root/usr/share/doc/mcp-client/copyright"
printf 'mcp-client (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md of the source.\n\n -- The mcp-client authors <mcp-client@localhost>  %s\n' \
    "$version" "$(date -R -u -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$root/usr/share/doc/mcp-client/changelog.gz"
install -D -m 0644 packaging/debian/lintian-overrides "$root/usr/share/lintian/overrides/mcp-client"
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@GLIBC@/$glibc/" \
    -e "s/@SIZE@/$(du -sk --apparent-size "$root/usr" | cut -f1)/" packaging/debian/control.in >"$root/DEBIAN/control"
(cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
find "$root" -type d -exec chmod 0755 {} +
find "$lib" -name '*.so*' -exec chmod 0644 {} +
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group --build -Zxz "$root" "dist/mcp-client_${version}_$arch.deb"
