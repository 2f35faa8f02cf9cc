"""Learning from pairs: Noise2Noise and CARE on real pictures, beside CAREamics 0.3.5.

Noise2Noise: raw 1 and raw 2 of a set, judged on raw 3 (the set without raw 2: raw 1 and 3, judged on 4). CARE: the
upper halves of raw 1 to 3 with the upper half of the ground truth as target, judged on the lower half of raw 4, which
differs in noise and in place; the whole raw 4 is denoised and its lower half judged. 400 steps of 16 patches of
64 px, a U-Net of depth 2 with 32 filters, seed 42. PSNR in dB at peak 255, the output as it is.

Run: ``python benchmarks/train_pairs.py``; needs the data folder (``QUIETFRAME_DATA``). CAREamics is measured in the
same protocol where ``CAREAMICS_PYTHON`` names an interpreter that has it (see ``careamics_peer.py``); its Noise2Noise
figures were measured once on a machine like this.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from train_rows import HERE, Limit, Row, Rows, denoise, fit, fmd, fmd_numbers, psnr

from quietframe.training.patches import collect

CAREAMICS_N2N = {
    "Confocal_BPAE_B": 36.86, "Confocal_BPAE_G": 33.17, "Confocal_BPAE_R": 35.51, "Confocal_FISH": 30.06,
    "TwoPhoton_MICE": 32.84, "WideField_BPAE_B": 31.38, "WideField_BPAE_G": 32.53,
}  # fmt: skip
"""Set -> PSNR of CAREamics' Noise2Noise after 400 steps on the third raw picture [dB]."""


def n2n_data(name: str) -> dict[str, np.ndarray]:
    """Return ``source`` and ``target`` (Y, X) to learn from, and ``test`` and ``truth`` to judge."""
    one, other, third = fmd_numbers(name)[:3]
    return {
        "source": fmd(name, one), "target": fmd(name, other), "test": fmd(name, third), "truth": fmd(name, "gt"),
    }  # fmt: skip


def care_data(name: str) -> dict[str, np.ndarray]:
    """Return ``source`` and ``target`` (N, Y, X) to learn from, and ``test`` and ``truth`` (Y, X) to judge.

    `test` is the whole picture, because a net sees what lies around; rows from ``len(truth) // 2`` on are judged.
    """
    *numbers, last = fmd_numbers(name)
    truth = fmd(name, "gt")
    half = len(truth) // 2
    source = np.stack([fmd(name, number)[:half] for number in numbers])
    return {
        "source": source, "target": np.stack([truth[:half]] * len(source)), "test": fmd(name, last), "truth": truth,
    }  # fmt: skip


def judge_care(data: dict[str, np.ndarray], picture: np.ndarray) -> float:
    """PSNR of the lower half."""
    half = len(data["truth"]) // 2
    return psnr(data["truth"][half:], picture[half:])


def n2n(name: str) -> Row:
    data = n2n_data(name)
    pictures = collect([np.stack([data["source"], data["target"]])], [name], partners=True)
    trained, cost = fit("n2n", pictures)
    result, careamics = psnr(data["truth"], denoise(trained, data["test"])[0]), CAREAMICS_N2N[name]
    noisy = psnr(data["truth"], data["test"])
    return {"noisy": noisy, "denoised": result, "careamics": careamics, "gain": result - careamics, **cost}


def care(name: str) -> Row:
    data = care_data(name)
    trained, cost = fit("care", collect([data["source"]], [name], [data["target"]]))
    result = judge_care(data, denoise(trained, data["test"])[0])
    return {"noisy": judge_care(data, data["test"]), "denoised": result, **cost}


def careamics_care(name: str) -> Row:
    """Let CAREamics do the same, in its own environment."""
    data = care_data(name)
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(given, **{key: data[key].astype(np.float32) for key in ("source", "target", "test")})
        command = [os.environ["CAREAMICS_PYTHON"], str(HERE / "careamics_peer.py"), "care", str(given), str(made)]
        subprocess.run([*command, "--steps", "400"], check=True, stdout=subprocess.DEVNULL, stderr=sys.stderr)
        result = np.load(made)["result"]
    return {"denoised": judge_care(data, result)}


def limits(rows: Rows) -> list[Limit]:
    found: list[Limit] = []

    def compare(title: str, gains: dict[str, float]) -> None:
        found.extend(Limit(f"{title}, {name}: over CAREamics [dB]", gain, 0.0) for name, gain in gains.items())
        if len(gains) == len(CAREAMICS_N2N):
            found.append(Limit(f"{title}: mean over CAREamics [dB]", float(np.mean(list(gains.values()))), 0.2))

    def value(row: str) -> Any:
        return rows.rows.get(row, {}).get("denoised")

    compare("Noise2Noise", {n: value(f"n2n {n}") - CAREAMICS_N2N[n] for n in CAREAMICS_N2N if value(f"n2n {n}")})
    both = [n for n in CAREAMICS_N2N if value(f"care {n}") and value(f"careamics care {n}")]
    compare("CARE", {n: value(f"care {n}") - value(f"careamics care {n}") for n in both})
    return found


def main() -> None:
    rows = Rows(__file__, __doc__ or "")
    for name in CAREAMICS_N2N:
        rows.row(f"n2n {name}", lambda name=name: n2n(name))
        rows.row(f"care {name}", lambda name=name: care(name))
        if "CAREAMICS_PYTHON" in os.environ:
            rows.row(f"careamics care {name}", lambda name=name: careamics_care(name))
    names = list(CAREAMICS_N2N)
    tables = {
        "Noise2Noise": [f"n2n {n}" for n in names],
        "CARE": [f"{who} {n}" for n in names for who in ("care", "careamics care")],
    }
    rows.report(limits(rows), tables)


if __name__ == "__main__":
    main()
