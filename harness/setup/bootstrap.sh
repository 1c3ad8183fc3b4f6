#!/bin/sh
# Has uv find or download Python 3.11 and hands over to `python -m harness.setup`, which does everything else.
# PYTHON=/path/to/python3.11 names one instead.
set -eu
cd "$(dirname "$0")/../.."

# ONNX Runtime's extensions are compiled against Python.h; the modules are those that a Python compiled on a host
# without their libraries lacks.
FIT='import bz2, ctypes, lzma, sqlite3, ssl, sys, sysconfig, zlib
assert sys.version_info[:2] == (3, 11), "ONNX Runtime Training needs Python 3.11"
open(sysconfig.get_path("include") + "/Python.h")'

failed() {
    echo "setup: FAILED: $1
  fix: Debian, Ubuntu: apt-get install python3.11 python3.11-venv python3.11-dev
       Fedora, RHEL:   dnf install python3.11 python3.11-devel
       or name one: make setup PYTHON=/path/to/python3.11" >&2
    exit 2
}

if [ -n "${PYTHON:-}" ]; then
    answer=$("$PYTHON" -c "$FIT" 2>&1) || failed "$PYTHON cannot carry the stack: $(echo "$answer" | tail -n 1)"
    exec "$PYTHON" -m harness.setup "$@"
fi
if command -v python3 >/dev/null; then
    uv=$(python3 harness/setup/uv.py) || exit 2
else
    uv=$(command -v uv) || failed "neither Python nor uv is on this host"
fi
if ! python=$("$uv" python find --system --no-project 3.11 2>/dev/null) || ! "$python" -c "$FIT" 2>/dev/null; then
    export UV_PYTHON_PREFERENCE=only-managed
    "$uv" python install 3.11 || failed "no Python 3.11 with headers is on this host, and uv could not download one"
    python=$("$uv" python find --no-project 3.11)
fi
exec "$python" -m harness.setup "$@"
