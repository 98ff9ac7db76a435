#!/bin/sh
# Installs FileFleet from the unpacked archive that this script lies in, or removes it again.
#
# Usage: ./install.sh [--prefix FOLDER] [--uninstall]
#   --prefix     where it goes [default: /usr/local for root, else ~/.local]
#   --uninstall  remove what this script installed; settings, keys and received files stay
# Afterwards "ffctl service install" lets the daemon start with the login. The tray does: its entry is
# where the desktop looks for such, or below the folder that --prefix names, in etc/xdg/autostart.
set -eu

fail() { echo "install: $*" >&2; exit 2; }

# The same folder, wherever it is named from.
absolute() {
    case $1 in
        '') fail "--prefix needs a folder" ;;
        *[[:cntrl:]]*) fail "a folder with such a name cannot be in a desktop entry" ;;
        /*) printf '%s' "$1" ;;
        *) printf '%s/%s' "${PWD%/}" "$1" ;;
    esac
}

# A path as it is written between quotes in "Exec" of a desktop entry, whose values are unescaped once
# more before that (Desktop Entry Specification, "Value types" and "The Exec key").
in_exec() { printf '%s' "$1" | sed -e 's/\\/&&&&/g' -e 's/["`$]/\\\\&/g' -e 's/%/%%/g'; }

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
if [ "$(id -u)" -eq 0 ]; then
    prefix=/usr/local autostart=/etc/xdg/autostart
else
    prefix=$HOME/.local autostart=${XDG_CONFIG_HOME:-$HOME/.config}/autostart
fi
remove=0
while [ $# -gt 0 ]; do
    case $1 in
        --prefix)
            [ $# -gt 1 ] || fail "--prefix needs a folder"
            prefix=$(absolute "$2")
            autostart=${prefix%/}/etc/xdg/autostart
            shift
            ;;
        --uninstall) remove=1 ;;
        -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) fail "unknown argument $1" ;;
    esac
    shift
done

# each SOURCE FOLDER MODE: installs one file below the prefix, or removes it.
each() { put "$1" "${prefix%/}/$2" "$3"; }

# put SOURCE FOLDER MODE: the same with a whole path.
put() {
    place=$2/$(basename "$1")
    if [ "$remove" -eq 1 ]; then
        rm -f "$place"
        return
    fi
    mkdir -p "$2"
    # Replaced, not overwritten: a program that runs keeps its file.
    cp "$1" "$place.new"
    chmod "$3" "$place.new"
    mv -f "$place.new" "$place"
}

for file in "$here"/bin/*; do each "$file" bin 755; done
for file in "$here"/man/*; do each "$file" share/man/man1 644; done
each "$here/completions/ffctl" share/bash-completion/completions 644
each "$here/completions/_ffctl" share/zsh/site-functions 644
each "$here/completions/ffctl.fish" share/fish/vendor_completions.d 644
each "$here/send/filefleet-send.desktop" share/applications 644
each "$here/send/thunar/filefleet.desktop" share/Thunar/sendto 644
each "$here/send/dolphin/filefleet.desktop" share/kio/servicemenus 755
each "$here/send/nautilus/filefleet.py" share/nautilus-python/extensions 644
each "$here/tray/filefleet-tray.desktop" share/applications 644
for icon in "$here"/icons/*/apps/*; do
    size=$(basename "$(dirname "$(dirname "$icon")")")
    each "$icon" "share/icons/hicolor/$size/apps" 644
done
# A login may not look for programs below this prefix.
entry=$(mktemp -d)/filefleet-tray.desktop
while IFS= read -r line; do
    case $line in
        Exec=*) printf 'Exec="%s"\n' "$(in_exec "${prefix%/}/bin/filefleet-tray")" ;;
        *) printf '%s\n' "$line" ;;
    esac
done <"$here/tray/autostart/filefleet-tray.desktop" >"$entry"
put "$entry" "$autostart" 644
rm -r "$(dirname "$entry")"
each "$here/server/filefleet-server.service" share/doc/filefleet 644
each "$here/server/server.toml" share/doc/filefleet 644
each "$here/LICENSE" share/doc/filefleet 644
each "$here/README.md" share/doc/filefleet 644

if [ "$remove" -eq 1 ]; then
    rmdir "${prefix%/}/share/doc/filefleet" 2>/dev/null || true
    echo "FileFleet was removed from $prefix"
else
    echo "FileFleet is in $prefix/bin; next: ffctl service install"
fi
