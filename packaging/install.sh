#!/bin/sh
# Installs Converge from the directory that this script is in. PREFIX is /usr unless it is set, DESTDIR the root.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
prefix=${PREFIX:-/usr}
root=${DESTDIR:-}
install -D -m 755 "$here/converge" "$root$prefix/bin/converge"
for page in "$here"/man/*.1; do
    install -D -m 644 "$page" "$root$prefix/share/man/man1/$(basename "$page")"
done
for unit in "$here"/systemd/*; do
    install -d -m 755 "$root/usr/lib/systemd/system"
    sed "s|/usr/bin/converge|$prefix/bin/converge|" "$unit" >"$root/usr/lib/systemd/system/$(basename "$unit")"
done
if [ ! -e "$root/etc/converge/agent.toml" ]; then
    install -D -m 644 "$here/agent.toml" "$root/etc/converge/agent.toml"
fi
echo "installed $("$here/converge" --version)"
