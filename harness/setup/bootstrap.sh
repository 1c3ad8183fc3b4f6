#!/bin/sh
# Finds or provides Python 3.11 and hands over to `python -m harness.setup`; everything else is done there.
# PYTHON=/path/to/python3.11 overrides the search.
set -eu
cd "$(dirname "$0")/../.."

python=""
found=""  # why each candidate was refused
for candidate in ${PYTHON:-} python3.11 /usr/bin/python3.11 /usr/local/bin/python3.11 python3; do
    command -v "$candidate" >/dev/null 2>&1 || continue
    if answer=$("$candidate" harness/setup/check_python.py 2>&1); then
        python=$answer
        break
    fi
    found="$found
  $candidate: $answer"
done

if [ -z "$python" ]; then
    echo "setup: no usable Python 3.11 here, asking uv for one$found" >&2
    if ! uv=$(python3 harness/setup/uv.py) ||
        ! UV_PYTHON_PREFERENCE=only-managed "$uv" python install 3.11 ||
        ! python=$(UV_PYTHON_PREFERENCE=only-managed "$uv" python find 3.11); then
        echo "setup: FAILED: Python 3.11 is neither installed nor could it be downloaded
  fix: Debian, Ubuntu: apt-get install python3.11 python3.11-venv python3.11-dev
       Fedora, RHEL:   dnf install python3.11 python3.11-devel
       or name one: make setup PYTHON=/path/to/python3.11" >&2
        exit 2
    fi
fi
exec "$python" -m harness.setup "$@"
