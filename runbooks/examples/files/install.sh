#!/bin/sh
# Stands for a vendor's installer: `install.sh to VERSION` puts a release in place, `install.sh back` the one before.
# It keeps the earlier one beside the new one, and can be called twice.
set -eu
release=/opt/billing/VERSION

case "${1:-}" in
to)
    [ "$(cat "$release")" = "$2" ] && exit 0
    cp -p "$release" "$release.before"
    printf '%s\n' "$2" > "$release.new"
    mv "$release.new" "$release"
    echo "installed $2, was $(cat "$release.before")"
    ;;
back)
    [ -e "$release.before" ] || exit 0
    mv "$release.before" "$release"
    echo "back to $(cat "$release")"
    ;;
*)
    echo "usage: install.sh to VERSION | back" >&2
    exit 2
    ;;
esac
