#!/bin/sh
# Sees to Debian's Redmine for the tests that need a real one: installs it, and makes the database that each of them
# starts from, in $VENV/redmine. Where there can be none it prints the pytest option that leaves those tests out and
# says so; in CI that is a failure.
set -u
cd "$(dirname "$0")/.." || exit 1

redmine=/usr/share/redmine
mkdir -p "${VENV:-.venv}/redmine" && kept=$(cd "${VENV:-.venv}/redmine" && pwd) || exit 1

version() {
    dpkg-query -W -f '${db:Status-Status} ${Version}' "$1" 2>/dev/null | sed -n 's/^installed //p'
}

have() {
    [ -f "$redmine/config.ru" ] && [ -n "$(version redmine)" ] && [ -n "$(version redmine-sqlite)" ]
}

# Debian's gems are made for Debian's own bundler; a newer one, that ruby itself may bring, takes them for deleted.
bundler() {
    { version ruby-bundler; apt-cache show --no-all-versions ruby-bundler | sed -n 's/^Version: //p'; } 2>/dev/null |
        sed -n '1s/^\([0-9.]*\).*/\1/p'
}

quietly() {
    $as_root env DEBIAN_FRONTEND=noninteractive BUNDLER_VERSION="$(bundler)" "$@" >/dev/null 2>&1
}

install() {
    quietly apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends redmine redmine-sqlite
}

# Redmine keeps an instance in a folder beside its own; from there the way leads up to the root, and down to ours.
make_template() {
    place=$(mktemp -d) || return 1
    mkdir -p "$place/config" "$place/log" "$place/tmp" "$place/files" "$place/public/plugin_assets"
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$place/config/secret_key.txt"
    printf 'production:\n  adapter: sqlite3\n  database: "%s/template.sqlite"\n  encoding: utf8\n' "$place" \
        >"$place/config/database.yml"
    (
        cd "$redmine" && env HOME="$place" RAILS_ENV=production BUNDLER_VERSION="$(bundler)" \
            REDMINE_INSTANCE="../../../../../../../..$place" bundle exec rails runner "$seed" >"$place/key"
    ) 2>"$kept/template.log" && mv "$place/template.sqlite" "$place/key" "$kept/"
    made=$?
    rm -rf "$place"
    return $made
}

without() {
    echo "$1" >&2
    [ "${CI:-}" = true ] && exit 1
    echo "They are left out this time." >&2
    echo "--ignore-glob=*redmine_*"
    exit 0
}

as_root=
[ "$(id -u)" -eq 0 ] || as_root="sudo -n"
if ! have && command -v apt-get >/dev/null 2>&1; then
    echo "Installing Redmine for the tests that need a real one." >&2
    install || { quietly apt-get update && install; }
fi
have || without "There is no Redmine here and it could not be installed: some tests need one (apt-get install redmine redmine-sqlite)."

seed=$(pwd)/.ci/redmine_seed.rb
wanted="$(version redmine) $(cksum <"$seed")"
[ -f "$kept/template.sqlite" ] && [ "$(cat "$kept/stamp" 2>/dev/null)" = "$wanted" ] && exit 0
make_template || without "The database that Redmine's tests start from could not be made: look into $kept/template.log."
echo "$wanted" >"$kept/stamp"
