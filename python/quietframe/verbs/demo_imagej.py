"""ImageJ's part of the demo, in a process of its own: ``python -m quietframe.verbs.demo_imagej TASK``.

TASK is one JSON object (noisy stack, packages and where their results go, the two regions); the last line printed is
another one (ImageJ's version, the provider, the SNR that the Jython script measured on each result).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def work(task: dict[str, Any]) -> dict[str, Any]:
    """Run the menu commands Denoise and ROI SNR in ImageJ on every package of the task."""
    from ..fiji.bridge import Fiji
    from ..images import read_image, write_image

    noisy = read_image(task["noisy"])
    snr, provider = {}, ""
    with Fiji() as imagej:
        for method, (model, out) in task["models"].items():
            done = imagej.run_command("Quietframe Denoise", noisy, model=model, provider="cpu")
            write_image(Path(out), done["result"], overwrite=True)
            provider = done["result"].info.get("quietframe.provider", "")
            measured = imagej.run_command(
                "Quietframe ROI SNR", done["result"], bright=task["bright"], dark=task["dark"]
            )
            snr[method] = float(measured["snr"])
        return {"version": imagej.imagej_version, "provider": provider, "snr": snr}


def main() -> int:
    """Do the task; one line on stderr says why it cannot be done."""
    from ..errors import QuietframeError

    try:
        print(json.dumps(work(json.loads(sys.argv[1]))), flush=True)
    except QuietframeError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
