#!/bin/sh
# Takes out of installed packages what they do not need to run: tests, and the debug information of
# compiled modules. In an image's build: trim.sh FOLDER
set -eu
find "$1" -depth -type d -name tests -exec rm -r {} +
find "$1" -type f -name '*.so' | while read -r module; do
    if readelf --sections "$module" | grep -q '\.debug_info'; then
        strip --strip-debug "$module"
    fi
done
