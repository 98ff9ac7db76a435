"""Adds "Send with FileFleet" to the menu of files and folders (needs python3-nautilus)."""

import subprocess

from gi.repository import GObject, Nautilus


class FileFleet(GObject.GObject, Nautilus.MenuProvider):
    # Nautilus before 43 passes its window first.
    def get_file_items(self, *arguments):
        paths = [file.get_location().get_path() for file in arguments[-1]]
        if not paths or None in paths:
            return []
        item = Nautilus.MenuItem(
            name="FileFleet::send",
            label="Send with FileFleet",
            tip="Send to one of your contacts",
        )
        item.connect("activate", self.send, paths)
        return [item]

    def get_background_items(self, *arguments):
        return []

    def send(self, _item, paths):
        subprocess.Popen(["ffctl", "send", "--choose", "--detach", "--", *paths])
