"""All that the classical filters must reach, in one table: the limits of their benchmarks, from their results.

Run by ``make benchmark-filters`` after the benchmarks themselves; alone, it puts together what is there. Writes
``results/filters.md`` and ends with 1 where a limit is missed or a benchmark has no results.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from train_rows import Limit

RESULTS = Path(__file__).resolve().parent / "results"
Results = dict[str, Any]


def beside_imagej(result: Results) -> list[Limit]:
    """Each command on 2048 x 2048 pixels: no slower than ImageJ, and the same pixels."""
    found = []
    for row in result["rows"]:
        what = f"{row['filter']} {row['settings']}, {row['threads']} thread{'s' * (row['threads'] > 1)}"
        found.append(Limit(f"{what}: wall time over ImageJ's", row["wall_ratio"], high=1.0))
    worst = max(row["largest_difference"] for row in result["rows"])
    return [Limit("largest difference of a pixel from ImageJ's, all rows", worst, high=0.0), *found]


def bm3d(result: Results) -> list[Limit]:
    """Our BM3D beside the package."""
    gains, times = [row["gain"] for row in result["quality"]], result["speed"]
    return [
        Limit("PSNR over the package's, worst of 18 pictures [dB]", min(gains), -0.1),
        Limit("PSNR over the package's, mean of 18 [dB]", sum(gains) / len(gains), -0.05),
        Limit("512 x 512: CPU seconds over the package's", times["cpu_ratio"], high=0.45),
        Limit("512 x 512: wall time on 2 threads over the package's", times["wall_ratio"], high=0.25),
        Limit("4096 x 4096: peak memory [GB]", times["large"]["peak_gb"], high=1.2),
    ]


def quality(result: Results) -> list[Limit]:
    """Stabilisation, BM3D with it, and the choice without truth."""
    bias = max(row["largest_bias_percent"] for row in result["bias"].values())
    found = [Limit("Anscombe and inverse from 1 photon: largest bias [%]", bias, high=0.5)]
    for row in result["bm3d"].values():
        for source, words, low in (("pair", "two pictures", -0.1), ("picture", "one picture", -0.4)):
            what = f"BM3D + VST, noise from {words}, {row['set']}: over the baseline [dB]"
            found.append(Limit(what, row[source] - row["baseline"], low))
    losses = {row["set"]: row["stein"]["loss_db"] for row in result["tune"].values()}
    white = sorted(loss for name, loss in losses.items() if not name.startswith("WideField"))
    found.append(Limit("filter tune: below the oracle, 4th of 5 sets of white noise [dB]", white[3], high=0.3))
    for name in (name for name in losses if name.startswith("WideField")):
        found.append(Limit(f"filter tune: below the oracle, {name} [dB]", losses[name], high=0.5))
    return found


BENCHMARKS: dict[str, tuple[str, Callable[[Results], list[Limit]]]] = {
    "filters_imagej": ("The same pixels as ImageJ, as fast", beside_imagej),
    "filter_bm3d": ("BM3D beside the `bm3d` package", bm3d),
    "filter_quality": ("Photon noise, and the choice without truth", quality),
}
"""Benchmark -> its heading, and its limits."""


def main() -> None:
    lines = ["# Classical filters: what must be reached", ""]
    lines += ["Made by `make benchmark-filters`; details in the files named.", ""]
    missing = [name for name in BENCHMARKS if not (RESULTS / f"{name}.json").is_file()]
    for name, (heading, limits) in BENCHMARKS.items():
        if name not in missing:
            found = limits(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))
            head = ["| what | allowed | value | |", "|--|--|--|--|"]
            lines += [f"## {heading} (`{name}.md`)", *head, *(limit.line() for limit in found), ""]
    missed = [line for line in lines if line.endswith("| MISSED |")]
    lines += [f"{len(missed)} missed.", *(f"No results yet: {name}." for name in missing)]
    (RESULTS / "filters.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    sys.exit(1 if missed or missing else 0)


if __name__ == "__main__":
    main()
