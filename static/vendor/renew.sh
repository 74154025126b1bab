#!/bin/sh
# Fetch the vendored libraries again, at the versions below, and write nothing else. Needs npm and network; the hub
# needs neither. To renew one: change its version and sum here and in README.md, run this, run the browser tests.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# package@version, file in the package, file here, SHA-256
fetch() {
  tarball=$(cd "$work" && npm pack --silent "$1")
  tar -xzf "$work/$tarball" -C "$work" "package/$2"
  if ! echo "$4  $work/package/$2" | sha256sum --check --status; then
    echo "$1: $2 is not what it was: $(sha256sum "$work/package/$2" | cut -d' ' -f1)" >&2
    exit 1
  fi
  mv "$work/package/$2" "$work/$3"
}

fetch socket.io-client@4.8.4 dist/socket.io.min.js socket.io.min.js d5d79a35039e860b32bdef4795528b05c2f788d4b2d9dacc913120e2878f7b3f
fetch uplot@1.6.32 dist/uPlot.iife.min.js uplot.min.js 19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f
fetch uplot@1.6.32 dist/uPlot.min.css uplot.min.css df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04

# all of them are right: only now is anything replaced
for file in socket.io.min.js uplot.min.js uplot.min.css; do
  cp "$work/$file" "$here/$file"
  echo "$file: as pinned"
done
