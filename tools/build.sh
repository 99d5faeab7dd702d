#!/usr/bin/env bash
# build.sh [archives]: fills dist: wheel and source archive, checked as an index would, the single file, the Debian package, and their sums.
# The same commit and tools give the same bytes: times in archives are the commit's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 1700000000)}
python=.venv/bin/python
rm -rf dist
"$python" -m build --outdir dist
"$python" -m twine check --strict dist/*.whl dist/*.tar.gz
.venv/bin/check-wheel-contents dist/*.whl
[[ "${1:-}" != archives ]] || exit 0
case "$(uname -s)" in
    Linux) "$python" tools/binary/build.py dist/*.whl ;;
    *) echo "The single file is built on Linux; here are wheel and source archive." >&2 ;;
esac
if command -v dpkg-deb >/dev/null; then
    bash packaging/debian/build.sh dist/*.whl
fi
(cd dist && rm -f SHA256SUMS && sha256sum -- * >SHA256SUMS.new && mv SHA256SUMS.new SHA256SUMS && cat SHA256SUMS)
