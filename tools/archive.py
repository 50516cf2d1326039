"""Build the archive that the registry hands out: what git tracks, without what .comfyignore names.

python tools/archive.py uniavgen.zip
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from imports import ROOT

IGNORED = ".comfyignore"
OLDEST_DATE = (1980, 1, 1, 0, 0, 0)
"""What a ZIP can say at the earliest: the same files make the same archive."""


class NoCheckoutError(Exception):
    """There is no git, or the folder is no checkout of its own."""


def archived_files() -> list[str]:
    """Paths from the root, sorted.

    Raises:
        NoCheckoutError: git cannot list them.
    """
    return sorted(_tracked() - _tracked("--ignored", f"--exclude-from={IGNORED}"))


def write_archive(file: Path) -> int:
    """Write them into a ZIP file; how many they are."""
    names = archived_files()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            entry = zipfile.ZipInfo(name, OLDEST_DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, (ROOT / name).read_bytes(), zipfile.ZIP_DEFLATED)
    return len(names)


def _tracked(*options: str) -> set[str]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        raise NoCheckoutError("The archive is made in a git checkout: clone the repository, and install git.")
    # The checkout may be another user's.
    command = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "-z", *options]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="ZIP file to write")
    file: Path = parser.parse_args().file
    try:
        count = write_archive(file)
    except (NoCheckoutError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{file}: {count} files, {file.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
