"""What an update site of Fiji holds: the files that `install` copies, under their Fiji paths, with checksums.

``python -m quietframe.fiji.update_site FOLDER`` (or ``make update-site``); docs/fiji.md says how to upload it.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

from ..errors import OutputError, QuietframeError
from . import install

CHECKSUMS = "checksums.sha256"
"""One line per file, as ``sha256sum --check`` reads them."""


def write_tree(out: Path) -> list[str]:
    """Write the files of the update site into a folder.

    Parameters
    ----------
    out
        The folder; one that an earlier call wrote is replaced.

    Returns
    -------
    list of str
        Paths of the files, relative to the folder, with slashes, sorted.

    Raises
    ------
    OutputError
        When the folder holds other things.
    FijiError
        When the jars can neither be built nor fetched.
    """
    if out.exists() and not (out.is_dir() and ((out / CHECKSUMS).is_file() or not any(out.iterdir()))):
        raise OutputError(f"{out} exists and is no update site written earlier; name an empty folder or remove it")
    files = install.sources()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as temporary:
        tree = Path(temporary, out.name)
        lines = []
        for path, source in sorted(files.items()):
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, tree / path)
            lines.append(f"{hashlib.sha256((tree / path).read_bytes()).hexdigest()}  {path}\n")
        (tree / CHECKSUMS).write_text("".join(lines), encoding="utf-8", newline="\n")
        if out.exists():
            shutil.rmtree(out)
        tree.rename(out)
    return sorted(files)


def main(arguments: list[str]) -> int:
    """Write the tree: ``python -m quietframe.fiji.update_site FOLDER``."""
    if len(arguments) != 1:
        print("usage: python -m quietframe.fiji.update_site FOLDER", file=sys.stderr)
        return 2
    try:
        paths = write_tree(Path(arguments[0]))
    except QuietframeError as error:
        print(f"quietframe: {error}", file=sys.stderr)
        return 2
    for path in paths:
        print(Path(arguments[0]) / path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
