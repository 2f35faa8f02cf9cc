"""All that training must reach, in one table: the limits of every training benchmark, from their results.

Run by ``make benchmark-training`` after the benchmarks themselves; alone, it puts together what is there. Writes
``results/training.md`` and ends with 1 where a limit is missed or a benchmark has no results.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
BENCHMARKS = {
    "train_speed": "Steps and predictions beside CAREamics",
    "train_overhead": "Time beside the convolutions",
    "predict_large": "Large pictures",
    "train_quality": "One noisy picture",
    "train_pairs": "Pairs",
    "train_exposure": "One exposure",
    "train_laplace": "Error bars",
    "train_psf": "Known point spread function",
    "train_zero_shot": "One picture, in seconds",
}
"""Benchmark -> its heading."""


def limits(name: str) -> list[str]:
    """Return the lines of a benchmark's table of limits, without its head."""
    lines = (RESULTS / f"{name}.md").read_text(encoding="utf-8").splitlines()
    rows = lines[lines.index("## Limits") + 3 :]
    end = next((number for number, line in enumerate(rows) if not line.startswith("|")), len(rows))
    return rows[:end]


def overhead() -> list[str]:
    """Return the limits of the time beside the convolutions."""
    rows = json.loads((RESULTS / "train_overhead.json").read_text(encoding="utf-8"))["rows"]
    return [
        f"| {row['case']}, {row['precision']}: time beside the net, share of a step | 0.08 or less | "
        f"{row['overhead']:.3f} | {'reached' if row['overhead'] <= 0.08 else 'MISSED'} |"
        for row in rows
    ]


def memory() -> list[str]:
    """Return the limits of the memory of predictions [GB]."""
    rows = json.loads((RESULTS / "predict_large.json").read_text(encoding="utf-8"))["rows"]
    return [
        f"| {row['size']} x {row['size']}: peak memory [GB] | 1.2 or less | {row['peak_gb']:.2f} | "
        f"{'reached' if row['peak_gb'] <= 1.2 else 'MISSED'} |"
        for row in rows
        if row["who"] == "quietframe"
    ]


OWN_TABLES = {"train_overhead": overhead, "predict_large": memory}
"""Benchmarks whose tables have columns of their own."""


def main() -> None:
    lines = [
        "# Training: what must be reached",
        "",
        "Made by `make benchmark-training`; details in the files named.",
        "",
    ]
    missing = [name for name in BENCHMARKS if not (RESULTS / f"{name}.md").is_file()]
    for name, heading in BENCHMARKS.items():
        if name in missing:
            continue
        found = OWN_TABLES[name]() if name in OWN_TABLES else limits(name)
        head = ["| what | allowed | value | |", "|--|--|--|--|"]
        lines += [f"## {heading} (`{name}.md`)", *head, *found, ""]
    missed = [line for line in lines if line.endswith("| MISSED |")]
    lines += [f"{len(missed)} missed.", *(f"No results yet: {name}." for name in missing)]
    (RESULTS / "training.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    sys.exit(1 if missed or missing else 0)


if __name__ == "__main__":
    main()
