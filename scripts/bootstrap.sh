#!/bin/sh
# Finds a Python that can make the virtual environment and hands over to bootstrap.py. Each candidate is run, not just
# looked up: a version manager's shim may exist for a version that is not installed.
cd "$(dirname "$0")/.." || exit 2

# $1 is a CPython of at least 3.11 and below the minor version $2.
usable() {
    command -v "$1" >/dev/null 2>&1 && "$1" -c '
import sys
sys.exit(sys.implementation.name != "cpython" or not (3, 11) <= sys.version_info < (3, int(sys.argv[1])))
' "$2" >/dev/null 2>&1
}

complete() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

hand_over() {
    python="$1"
    shift
    PYTHONPATH="$PWD" exec "$python" -m scripts.bootstrap "$@"
}

refuse() {
    echo "creditstream: $1" >&2
    exit 2
}

no_venv() {
    refuse "$1 has no venv module: install it (on Debian: apt install $("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')) and run make again"
}

# Who names one gets that one or a word about it, never another.
if [ -n "${PYTHON:-}" ]; then
    if ! usable "$PYTHON" 99; then
        found="$("$PYTHON" -c 'import sys; print(sys.implementation.name, sys.version.split()[0])' 2>/dev/null || echo 'not there, or does not run')"
        refuse "PYTHON=$PYTHON cannot be used: it is $found, and CPython 3.11 or newer is needed: name another, or leave PYTHON out"
    fi
    complete "$PYTHON" || no_venv "$PYTHON"
    hand_over "$PYTHON" "$@"
fi

# The machine's own first, then the newest. What is newer than all that was tried comes last.
without_venv=""
for before in 15 99; do
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        usable "$python" "$before" || continue
        complete "$python" && hand_over "$python" "$@"
        without_venv="${without_venv:-$python}"
    done
done
[ -z "$without_venv" ] || no_venv "$without_venv"
found="$(python3 --version 2>/dev/null || echo 'no python3')"
refuse "Python 3.11 or newer is needed and there is $found: install it, or name it with PYTHON=/path/to/python3.11"
