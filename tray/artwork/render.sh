#!/usr/bin/env bash
# Renders the icons of the tray from their SVG sources, in the sizes that panels ask for. The results
# are committed, so that a build needs no renderer. Needs rsvg-convert (Debian: librsvg2-bin).
#
# Usage: tray/artwork/render.sh
set -euo pipefail
cd "$(dirname "$0")"
for source in *.svg; do
  for size in 22 32 48 64; do
    rsvg-convert --width "$size" --height "$size" --output "${source%.svg}-$size.png" "$source"
  done
done
