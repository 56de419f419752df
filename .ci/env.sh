#!/bin/sh
# Makes the virtual environment $VENV from requirements.lock with $PYTHON; at once when nothing has changed.
set -u
cd "$(dirname "$0")/.." || exit 1

venv=${VENV:-.venv}
log=$venv/install.log
stamp=$venv/installed
wanted="$(cat requirements.lock pyproject.toml | cksum) $(pwd)"

stop() {
    echo "$1" >&2
    exit 1
}

install() {
    if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps "$@" \
        >>"$log" 2>&1; then
        [ "${CI:-}" = true ] && tail -n 20 "$log" >&2
        stop "The packages could not be installed: check that the package index can be reached, then look into $log."
    fi
}

if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

found=
seen=
for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    seen=${seen:-$version}
    if [ "${version%%.*}" -gt 3 ] || { [ "${version%%.*}" -eq 3 ] && [ "${version#*.}" -ge 11 ]; }; then
        found=$python
        break
    fi
done
if [ -z "$seen" ]; then
    stop "Milepost needs Python 3.11 or newer and found none as ${PYTHON:-python3}: install it, or name it with PYTHON=."
elif [ -z "$found" ]; then
    stop "Milepost needs Python 3.11 or newer, and ${PYTHON:-python3} is $seen: install a newer one, or name it with PYTHON=."
fi

if ! [ -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    "$found" -c 'import venv, ensurepip' 2>/dev/null ||
        stop "$found has no venv module: install it (on Debian and Ubuntu: apt-get install python3-venv)."
    "$found" -m venv --clear "$venv" >/dev/null 2>&1 ||
        stop "The folder $venv could not be made with $found -m venv: check that the disk has room and can be written."
fi

: >"$log"
echo "Installing $(grep -c '==' requirements.lock) packages into $venv; the first time takes a minute or two." >&2
install --require-hashes -r requirements.lock
install --no-build-isolation -e .
echo "$wanted" >"$stamp"
