#!/bin/sh
# Sees to all that tests need beside Python: a browser and real servers. Prints the pytest options that leave out the tests
# of what cannot be had; in CI that is a failure.
set -u
cd "$(dirname "$0")/.." || exit 1

for one in browser postgres redmine tryton; do
    sh ".ci/$one.sh" || exit 1
done
