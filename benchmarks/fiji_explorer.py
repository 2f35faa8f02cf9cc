"""Time the explorer's live preview in ImageJ on a display of its own (Xvfb): Gaussian, a network, and Esc.

The whole way is timed, from the event of the slider to the pixels in the preview's window. Needs xvfb-run.

    python benchmarks/fiji_explorer.py [--size 1024] [--rounds 3] [--out benchmarks/results]
    python benchmarks/fiji_explorer.py --photo docs/images/fiji_explorer.png --picture noisy.tif --model cells.zip
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import runpy
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

MODEL = runpy.run_path(str(Path(__file__).with_name("predict_large.py")))["MODEL"]
WINDOW = Path(__file__).with_name("fiji_explorer_window.py")


def drive(picture: Path, models: Path, photo: Path, *words: str) -> dict[str, Any]:
    """Open the window in a process of its own and return what it reports."""
    command = ["xvfb-run", "-a", "-s", "-screen 0 1600x1100x24", sys.executable, WINDOW, picture, models, photo, *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, check=False)
    line = next((text for text in done.stdout.splitlines() if text.startswith("REPORT ")), None)
    if line is None:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(line.removeprefix("REPORT "))
    return found


def measure(size: int, rounds: int) -> dict[str, Any]:
    """Time previews of noise with a network of 332 645 parameters."""
    from quietframe.images import Image, write_image

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "models").mkdir()
        subprocess.run([sys.executable, "-c", MODEL, folder / "models" / "net.onnx", folder / "net.pt"], check=True)
        noise = np.random.default_rng(0).poisson(300, (size, size)).astype(np.uint16)
        picture = write_image(folder / "in.tif", Image(noise, "YX"), dtype="uint16")
        turns = [drive(picture, folder / "models", folder / "photo.png", "--escape") for _ in range(rounds)]
    # The first moves of the slider compile Java's loops; a person moves it more than four times.
    return {
        "gaussian_s": [time for turn in turns for time in turn["gaussian_slid_s"][4:]],
        "gaussian_first_s": [turn["gaussian_slid_s"][0] for turn in turns],
        "model_s": [time for turn in turns for time in turn["model_s"]],
        "model_first_s": [turn["model_first_s"] for turn in turns],
        "escape_s": [turn["escape_s"] for turn in turns],
    }


def table(result: dict[str, Any]) -> str:
    """Write the result as Markdown, a row per number that must be reached."""
    times = result["times"]
    rows = [
        ("Gaussian preview", 0.15, statistics.median(times["gaussian_s"])),
        ("preview of a network of 332 645 parameters, loaded", 1.5, statistics.median(times["model_s"])),
        ("Esc while the network runs, until the window is gone: longest", 0.5, max(times["escape_s"])),
    ]
    return "\n".join(
        [
            "# The explorer's live preview",
            "",
            f"Picture of {result['size']}² pixels, uint16; from the slider's event to the pixels in the window, under "
            f"Xvfb, {result['machine']}, load of other work before: {result['load']:.1f} processes. First preview of a "
            f"Gaussian {max(times['gaussian_first_s']):.2f} s, of the network with loading it "
            f"{max(times['model_first_s']):.1f} s at most; best of the network {min(times['model_s']):.2f} s.",
            "",
            "| what | at most [s] | measured [s] | |",
            "|---|---|---|---|",
            *(
                f"| {what} | {most} | {value:.3f} | {'reached' if value <= most else 'MISSED'} |"
                for what, most, value in rows
            ),
            "",
        ]
    )


def main() -> None:
    """Measure and write the result, or photograph the window for the docs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--model", type=Path)
    given = parser.parse_args()
    if given.photo is not None:
        with tempfile.TemporaryDirectory() as name:
            shutil.copy(given.model, name)
            drive(given.picture, Path(name), given.photo, "--escape", "--panel")
        return
    load = os.getloadavg()[0]
    result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": load,
        "size": given.size,
        "times": measure(given.size, given.rounds),
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "fiji_explorer.json").write_text(json.dumps(result, indent=1) + "\n")
    (given.out / "fiji_explorer.md").write_text(table(result))
    print(table(result))


if __name__ == "__main__":
    main()
