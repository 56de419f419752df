#!/bin/sh
# Sees to a Chromium for the browser tests. Where there can be none it prints the pytest option that leaves
# those tests out and says so; in CI that is a failure.
set -u

have() {
    [ -x /usr/bin/chromium ]
}

quietly() {
    DEBIAN_FRONTEND=noninteractive $as_root "$@" >/dev/null 2>&1
}

have && exit 0
as_root=
[ "$(id -u)" -eq 0 ] || as_root="sudo -n"
if command -v apt-get >/dev/null 2>&1; then
    echo "Installing Chromium for the browser tests." >&2
    quietly apt-get install -y chromium || { quietly apt-get update && quietly apt-get install -y chromium; }
fi
have && exit 0
echo "There is no Chromium here and it could not be installed: the browser tests need one (apt-get install chromium)." >&2
[ "${CI:-}" = true ] && exit 1
echo "They are left out this time." >&2
echo "--ignore-glob=*browser*"
