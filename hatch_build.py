"""Put the Fiji side into the wheel: a copy of ``fiji_scripts`` and the built jar, under ``quietframe/fiji/carried``.

The jar needs Java and ImageJ's jars to be built (`quietframe.fiji.jar`). Where they cannot be had, e.g. in an isolated
build without the network, one that was built before from the same sources is taken from the user's cache (`make jar`
leaves it there); without any, the wheel carries the sources alone and the jar is built when it is first needed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLACE = "quietframe/fiji/carried"


class FijiHook(BuildHookInterface):
    """Add the Fiji side to a wheel; an editable installation finds it in the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files to add."""
        if version == "editable":
            return
        root = Path(self.root)
        included = build_data["force_include"]
        for path in sorted((root / "fiji_scripts").rglob("*")):
            if path.suffix in {".groovy", ".py", ".ijm", ".md"}:
                included[str(path)] = f"{PLACE}/{path.relative_to(root).as_posix()}"
        sys.path.insert(0, str(root / "python"))
        try:
            from quietframe.errors import QuietframeError
            from quietframe.fiji import jar

            try:
                built = jar.ensure_jar(self.metadata.version)
            except QuietframeError as error:
                self.app.display_warning(f"the wheel carries the Fiji scripts without their jar: {error}")
                return
        finally:
            sys.path.remove(str(root / "python"))
        included[str(built)] = f"{PLACE}/{built.name}"
