#!/bin/sh
# Lays out everything that the image holds: image/files.sh BINARY FOLDER. The Dockerfile's build stage runs it, and so
# does image/build.sh where there is no such stage. Needs cargo with its downloaded sources, and Debian's ca-certificates.
set -eu

binary=$1
root=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The image's user owns none of this, and has to read it.
umask 022
mkdir -p "$root/etc/ssl/certs" "$root/licenses"
install -m 755 "$binary" "$root/pixpipe"

# What Mozilla trusts, not what this machine trusts: that may hold certificates of its own.
cat /usr/share/ca-certificates/mozilla/*.crt > "$root/etc/ssl/certs/ca-certificates.crt"

# The licences ask that their texts go with the binary. Each text once, after the crates that carry it; without what
# only runs while building. LGPL-2.1 for glibc: whoever changes it can link again, by this repository.
sources=${CARGO_HOME:-$HOME/.cargo}/registry/src
cargo tree --locked --edges normal,no-proc-macro --prefix none --no-dedupe --format '{p} | {l}' > "$work/tree"
grep -v '(/' "$work/tree" | sort -u > "$work/crates"
while read -r name version _; do
    find "$sources"/*/"$name-${version#v}" -type f \( -iname 'licen[sc]e*' -o -iname 'copying*' -o -iname 'copyright*' \
        -o -iname 'notice*' -o -iname 'unlicense*' -o -iname 'README.ijg' \) ! -name '*.rs' -exec sha256sum {} + |
        sed "s/^\([0-9a-f]*\) *\(.*\)/\1 $name-${version#v} \2/"
done < "$work/crates" | sort > "$work/texts"
{
    echo 'pixpipe (MIT) is linked with glibc (LGPL-2.1-or-later), libjpeg-turbo (IJG and BSD-3-Clause; it is in'
    echo 'turbojpeg-sys), the standard library of Rust (MIT OR Apache-2.0) and these crates:'
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
