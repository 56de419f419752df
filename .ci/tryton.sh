#!/bin/sh
# Sees to a Tryton for the tests that need a real one: its packages in an environment of their own beside ours, and the
# database that each of them starts from, in $VENV/tryton. Where there can be none it prints the pytest option that leaves
# those tests out and says so; in CI that is a failure.
set -u
cd "$(dirname "$0")/.." || exit 1

ours=${VENV:-.venv}/bin/python
kept=${VENV:-.venv}/tryton
packages=tests/sources/tryton-requirements.txt
template=.ci/tryton_template.py

without() {
    echo "$1" >&2
    [ "${CI:-}" = true ] && exit 1
    echo "They are left out this time." >&2
    echo "--ignore-glob=*tryton_*"
    exit 0
}

say() {
    echo "Tryton $(sed -n 's/^trytond==\([0-9.]*\).*/\1/p' "$packages") is there for its tests." >&2
}

# What is installed, and what the database was made of; its fiscal years are those around the year in which it is made.
has="$(cksum <"$packages") $("$ours" -V)"
wanted="$has $(cksum <"$template") $(date +%Y)"
if [ -f "$kept/template.sqlite" ] && [ "$(cat "$kept/stamp" 2>/dev/null)" = "$wanted" ]; then
    say
    exit 0
fi

if [ "$(cat "$kept/installed" 2>/dev/null)" != "$has" ]; then
    echo "Installing Tryton for the tests that need a real one; this takes about half a minute." >&2
    rm -rf "$kept"
    "$ours" -m venv --without-pip "$kept" >/dev/null 2>&1 &&
        "$ours" -m pip --python "$kept/bin/python" install --quiet --disable-pip-version-check --no-input --no-deps \
            --no-compile --require-hashes -r "$packages" >"$kept/install.log" 2>&1 ||
        without "There is no Tryton here and it could not be installed: some tests need one. Look into $kept/install.log."
    echo "$has" >"$kept/installed"
fi
"$kept/bin/python" "$template" "$kept" "$(date +%Y)" >"$kept/template.log" 2>&1 ||
    without "The database that Tryton's tests start from could not be made: look into $kept/template.log."
echo "$wanted" >"$kept/stamp"
say
