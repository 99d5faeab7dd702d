#!/usr/bin/env bash
# Runs tests/windows, and what other tests do not depend on a system, with a Windows Python in Wine; arguments are
# pytest's. 77: no Wine can be had here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cache=$(bash tools/wine/setup.sh)
python=$(ls -d "$cache"/python-*/python.exe | tail -n 1)
# A prefix of its own for each run: what a run leaves behind is nobody's evidence.
work=$(mktemp -d "${TMPDIR:-/tmp}/mcp-wine.XXXXXX")
export WINEPREFIX="$cache/prefix" WINEDEBUG="${WINEDEBUG:--all}" WINEDLLOVERRIDES="mscoree,mshtml=" WINEARCH=win64
export PYTHONPATH="Z:$PWD/src" PYTHONPYCACHEPREFIX="Z:$cache/pycache" PYTHONUTF8=1
export MCP_TEST_PROGRAMS="Z:$work/programs"
cleanup() { rm -rf "$work"; }
trap cleanup EXIT
mkdir "$work/programs"
python3 tests/windows/fields.py >"$work/programs/fields.h"
for source in tests/windows/programs/*.c; do
    name=$(basename "$source" .c)
    x86_64-w64-mingw32-gcc -O1 -municode -I"$work/programs" -o "$work/programs/$name.exe" "$source" 2>/dev/null \
        || x86_64-w64-mingw32-gcc -O1 -I"$work/programs" -o "$work/programs/$name.exe" "$source"
done
# Wine's own standard streams are pipes: a file or a terminal there is another matter than on Windows.
wine "$python" -m pytest -p no:cacheprovider --confcutdir=tests/windows --rootdir "Z:$PWD" --basetemp "Z:$work/tmp" \
    tests/windows @tests/portable.txt "$@" </dev/null 2>&1 | cat
