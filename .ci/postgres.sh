#!/bin/sh
# Sees to a PostgreSQL server for the tests that need a real one. Where there can be none it prints the pytest option
# that leaves those tests out and says so; in CI that is a failure.
set -u

have() {
    command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1
}

quietly() {
    DEBIAN_FRONTEND=noninteractive $as_root "$@" >/dev/null 2>&1
}

# Debian's package would make a server of its own and start it; tests start theirs.
install() {
    own=/etc/postgresql-common/createcluster.d/for-tests.conf
    [ -e /etc/postgresql ] || { quietly mkdir -p "${own%/*}" && echo "create_main_cluster = false" | quietly tee "$own"; }
    quietly apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends postgresql
    installed=$?
    quietly rm -f "$own"
    return $installed
}

have && exit 0
as_root=
[ "$(id -u)" -eq 0 ] || as_root="sudo -n"
if command -v apt-get >/dev/null 2>&1; then
    echo "Installing PostgreSQL for the tests that need a real one." >&2
    install || { quietly apt-get update && install; }
fi
have && exit 0
echo "There is no PostgreSQL here and it could not be installed: some tests need one (apt-get install postgresql)." >&2
[ "${CI:-}" = true ] && exit 1
echo "They are left out this time." >&2
echo "--ignore-glob=*postgres_*"
