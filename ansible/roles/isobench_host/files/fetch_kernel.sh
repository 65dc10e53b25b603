#!/bin/sh
# fetch_kernel.sh PACKAGE FOLDER: puts FOLDER/vmlinuz and FOLDER/vmlinuz.version there. Installs nothing.
set -eu

package=$1
folder=$2

work=$(mktemp -d "$folder/.fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

download() {
    # linux-image-cloud-amd64 holds no kernel: it depends on the package that does.
    image=$(apt-cache depends --important "$package" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p')
    apt-get --quiet download "${image:-$package}"
}

# Without package lists, or with old ones that name a version no longer there, a second try helps root.
if ! download; then
    [ "$(id -u)" -eq 0 ] || exit 1
    apt-get --quiet update
    download
fi

dpkg-deb -x ./*.deb unpacked
dpkg-deb --show --showformat='${Package} ${Version}\n' ./*.deb > vmlinuz.version
install -m 0644 unpacked/boot/vmlinuz-* vmlinuz

# The kernel last: its presence says that all is there.
mv vmlinuz.version "$folder/vmlinuz.version"
mv vmlinuz "$folder/vmlinuz"
