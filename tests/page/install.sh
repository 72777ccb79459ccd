#!/bin/bash
# What the tests of the page drive a browser with, into a folder: install.sh FOLDER. It has no dependencies; the browser itself is Debian's.
set -euo pipefail
version=1.65.1
[ -e "$1/node_modules/playwright-core/package.json" ] && grep -q "\"version\": \"$version\"" "$1/node_modules/playwright-core/package.json" && exit
mkdir -p "$1"
npm install --prefix "$1" --no-save --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error "playwright-core@$version"
