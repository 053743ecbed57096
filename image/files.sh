#!/bin/sh
# Lays out all files of the image: image/files.sh BINARY FOLDER. Run by the Dockerfile's build stage, and by
# image/build.sh if there is no such stage. Runs in the root of the workspace, whose members all have to be there, since
# cargo reads their manifests. Needs cargo with its downloaded sources, and Debian's ca-certificates.
set -eu

binary=$1
root=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# An empty image has no dynamic linker. RUSTFLAGS in the environment, for example, would replace the flag of
# .cargo/config.toml.
if readelf --program-headers --wide "$binary" | grep -q INTERP; then
    echo "$binary is not static: build it without RUSTFLAGS, so that .cargo/config.toml counts" >&2
    exit 1
fi

# The image's user owns none of the files and must be able to read them.
umask 022
mkdir -p "$root/etc/ssl/certs" "$root/licenses"
install -m 755 "$binary" "$root/pixpipe"

# Mozilla's list, not this machine's: that may have certificates of its own.
cat /usr/share/ca-certificates/mozilla/*.crt > "$root/etc/ssl/certs/ca-certificates.crt"

# The licences require that their texts are shipped. Each text once, below the crates that have it; only crates that are
# linked into the program. LGPL-2.1 for glibc: this repository is what is needed to link again with a changed one.
sources=${CARGO_HOME:-$HOME/.cargo}/registry/src
cargo tree --locked --package pixpipe --edges normal,no-proc-macro --prefix none --no-dedupe --format '{p} | {l}' \
    > "$work/tree"
grep -v '(/' "$work/tree" | sort -u > "$work/crates" # without the workspace's own, which show their folder
while read -r name version _; do
    find "$sources"/*/"$name-${version#v}" -type f \( -iname 'licen[sc]e*' -o -iname 'copying*' -o -iname 'copyright*' \
        -o -iname 'notice*' -o -iname 'unlicense*' -o -iname 'README.ijg' \) ! -name '*.rs' -exec sha256sum {} + |
        sed "s/^\([0-9a-f]*\) *\(.*\)/\1 $name-${version#v} \2/"
done < "$work/crates" | sort > "$work/texts"
{
    echo 'pixpipe (MIT) is linked with glibc (LGPL-2.1-or-later), libjpeg-turbo (IJG and BSD-3-Clause; part of'
    echo 'turbojpeg-sys), the Rust standard library (MIT OR Apache-2.0) and these crates:'
    echo
    cat "$work/crates"
    echo
    echo 'Their licence texts:'
    cut -d' ' -f1 "$work/texts" | uniq | while read -r sum; do
        printf '\n======== '
        awk -v sum="$sum" '$1 == sum && !seen[$2]++ { printf "%s ", $2 }' "$work/texts"
        printf '\n\n'
        cat "$(awk -v sum="$sum" '$1 == sum { print $3; exit }' "$work/texts")"
    done
    printf '\n======== glibc\n\n'
    cat /usr/share/doc/libc6-dev/copyright /usr/share/common-licenses/LGPL-2.1
    printf '\n======== pixpipe\n\n'
    cat LICENSE
} > "$root/licenses/THIRD-PARTY.txt"
