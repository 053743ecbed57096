#!/bin/sh
# The rules of deny.toml on every crate of Cargo.lock: bans, licences and sources, and advisories if their database can
# be had. cargo-deny is not installed here, since it takes some ten minutes to compile.
set -eu

if ! cargo deny --version > /dev/null 2>&1; then
  echo "SKIPPED deny: cargo-deny is not installed; run: cargo install --locked cargo-deny"
  exit 0
fi
cargo deny --locked --all-features check bans licenses sources
if cargo deny --locked fetch db > /dev/null 2>&1; then
  cargo deny --locked --all-features check --disable-fetch advisories
else
  echo "SKIPPED advisories: the database of RustSec cannot be had from here"
fi
