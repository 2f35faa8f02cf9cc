"""Variance stabilisation, noise estimates and the choice of filters without truth, on the sets of ``data/fmd``.

    python benchmarks/filter_quality.py [--only bias,noise,bm3d,tune] [--again]

Every finished row is kept in ``results/filter_quality.json``, and a second run goes on where the first one ended;
``--again`` forgets them. Needs the data (QUIETFRAME_DATA, or ``../shared/data``); BM3D is ours where
``filters/bm3d.py`` exists, else the ``bm3d`` package where that is installed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from quietframe.filtering.run import filter_pixels
from quietframe.filtering.stabilise import LineStabiliser
from quietframe.filtering.tune import candidates, depends_on_signal, liveliest, tune
from quietframe.filtering.tune_judges import HiddenJudge, SteinJudge, correlation_radius
from quietframe.filters import filter_names
from quietframe.images import read_image
from quietframe.metrics.reference import psnr, psnr_affine
from quietframe.noise_models.poisson_gaussian import NoiseLine, estimate_line, line_of_pair
from quietframe.noise_models.stabilisation import Stabilisation

REPOSITORY = Path(__file__).resolve().parent.parent
RESULT = Path(__file__).parent / "results" / "filter_quality.json"
WHITE = ("Confocal_BPAE_B", "Confocal_BPAE_G", "Confocal_BPAE_R", "Confocal_FISH", "TwoPhoton_MICE")
CORRELATED = ("WideField_BPAE_B", "WideField_BPAE_G")
BASELINE = dict(zip(WHITE, (37.69, 31.79, 38.19, 32.53, 32.23), strict=True))
"""BM3D+VST of the baselines, dB."""
LIMITS = {"pair": -0.1, "picture": -0.4}
CROP = 256


def picture(name: str, part: str) -> np.ndarray:
    data = Path(os.environ.get("QUIETFRAME_DATA", REPOSITORY.parent / "shared" / "data"))
    return read_image(data / "fmd" / f"{name}_{part}.png").array.astype(np.float32)


def repeat_of(name: str) -> str:
    """Name the repeat that is no copy of raw 1."""
    return "raw3" if name == "WideField_BPAE_B" else "raw2"


def bias(noise: float) -> dict[str, Any]:
    """Largest bias from 1 to 2000 photons [%]: exact sums over counts, integrals over the read noise."""
    from scipy.stats import norm, poisson

    transform = Stabilisation(2.0, 2.0 * noise, 10.0)
    photons = np.array([1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 500.0, 990.0, 1010.0, 2000.0])
    nodes = np.linspace(-8.5, 8.5, 3401) if noise else np.zeros(1)
    weights = norm.pdf(nodes) / norm.pdf(nodes).sum()
    worst = 0.0
    for mean in photons:
        counts = np.arange(max(0, int(mean - 12 * math.sqrt(mean) - 30)), int(mean + 12 * math.sqrt(mean) + 40))
        values = transform.forward(10.0 + 2.0 * (counts[:, None] + noise * nodes)).astype(np.float64)
        stabilised = poisson.pmf(counts, mean) @ (values @ weights)
        back = (float(transform.inverse(np.array([stabilised]))[0]) - 10.0) / 2.0
        worst = max(worst, abs(back / mean - 1))
    return {"read_noise_e": noise, "largest_bias_percent": float(100 * worst), "limit": 0.5, "ok": bool(worst <= 0.005)}


def lines(name: str) -> dict[str, NoiseLine]:
    noisy = picture(name, "raw1")
    return {"pair": line_of_pair(noisy, picture(name, repeat_of(name))), "picture": estimate_line(noisy)}


def noise(name: str) -> dict[str, Any]:
    found = lines(name)
    level = float(np.percentile(picture(name, "gt"), 99))
    ratio = math.sqrt(float(found["picture"].variance(level)) / float(found["pair"].variance(level)))
    return {"set": name, **{key: [line.slope, line.intercept] for key, line in found.items()}, "sigma_ratio": ratio}


def bm3d_engine() -> tuple[str, Callable[[np.ndarray], np.ndarray]] | None:
    if "bm3d" in filter_names():
        return "quietframe", lambda plane: filter_pixels(plane, "bm3d", {"noise_sigma": 1.0}).pixels
    try:
        import bm3d
    except ImportError:
        return None
    return "bm3d package", lambda plane: bm3d.bm3d(plane.astype(np.float64), 1.0, "np")


def bm3d_vst(name: str) -> dict[str, Any] | None:
    engine = bm3d_engine()
    if engine is None:
        return None
    row: dict[str, Any] = {"set": name, "engine": engine[0], "baseline": BASELINE[name]}
    noisy, truth = picture(name, "raw1"), picture(name, "gt")
    for source, line in lines(name).items():
        stabiliser = LineStabiliser(line)
        result = stabiliser.inverse(engine[1](stabiliser.forward(noisy)))
        row[source] = psnr(truth, result, 255.0)
        row[f"{source}_ok"] = bool(row[source] - BASELINE[name] >= LIMITS[source])
    return row


def tuning(name: str) -> dict[str, Any]:
    """Choose on a part of raw 1 without truth; judge the choice on the whole picture."""
    noisy, truth = picture(name, "raw1"), picture(name, "gt")
    line = estimate_line(noisy)
    part = liveliest(noisy, CROP)
    stabilised = depends_on_signal(line, noisy)
    given = candidates((), stabilised=stabilised)
    stabiliser = LineStabiliser(line) if stabilised else None
    whole = {}
    for candidate in given:
        how = stabiliser if candidate.stabilised else None
        whole[candidate.text] = filter_pixels(noisy, candidate.name, candidate.settings, stabiliser=how).pixels
    plain = {text: psnr(truth, result, 255.0) for text, result in whole.items()}
    affine = {text: psnr_affine(truth, result, 255.0) for text, result in whole.items()}
    limit = 0.5 if name in CORRELATED else 0.3
    row: dict[str, Any] = {"set": name, "candidates": len(given), "limit": limit, "stabilised": stabilised}
    row |= {"oracle": max(plain, key=plain.__getitem__), "oracle_psnr": max(plain.values())}
    radius = correlation_radius(line.correlation)
    row["correlation_radius"] = radius
    judges = {"stein": SteinJudge(noisy[part], line), "hidden": HiddenJudge(noisy[part], radius)}
    for kind, judge in judges.items():
        tried = tune(noisy[part], given, judge, stabiliser=stabiliser)
        chosen = tried[0].candidate.text
        row[kind] = {
            "chosen": chosen,
            "loss_db": max(plain.values()) - plain[chosen],
            "loss_affine_db": max(affine.values()) - affine[chosen],
            "errors": {one.candidate.text: one.error for one in tried},
        }
    row["psnr"] = plain
    row["ok"] = bool(row["stein"]["loss_db"] <= limit)
    return row


def table(result: dict[str, Any]) -> str:
    text = ["# Quality of the classical filters' surroundings", "", f"{result['machine']}.", ""]
    text += ["## Anscombe and exact inverse around nothing, 1 to 2000 photons (limit 0.5 %)", ""]
    text += ["| read noise [e-] | largest bias [%] | |", "|--|--|--|"]
    text += [
        f"| {r['read_noise_e']:g} | {r['largest_bias_percent']:.4f} | {mark(r['ok'])} |"
        for r in result["bias"].values()
    ]
    text += [
        "",
        "## Noise from one picture against two (raw 1; raw 1 and a repeat): slope [ADU], intercept [ADU^2]",
        "",
    ]
    text += ["| set | two pictures | one picture | sigma at P99, one over two |", "|--|--|--|--|"]
    for r in result["noise"].values():
        cells = [f"{r[key][0]:.3g} m {r[key][1]:+.4g}" for key in ("pair", "picture")]
        text.append(f"| {r['set']} | {cells[0]} | {cells[1]} | {r['sigma_ratio']:.3f} |")
    text += ["", "## BM3D + VST, PSNR [dB] (limits: baseline - 0.1 from two pictures, - 0.4 from the one)", ""]
    text += ["| set | engine | two pictures | one picture | baseline |", "|--|--|--|--|--|"]
    text += [
        f"| {r['set']} | {r['engine']} | {r['pair']:.2f} {mark(r['pair_ok'])} | {r['picture']:.2f} "
        f"{mark(r['picture_ok'])} | {r['baseline']:.2f} |"
        for r in result["bm3d"].values()
    ]
    text += [
        "",
        "## Chosen without truth against the oracle, dB on the whole picture (in brackets: after an affine fit)",
        "",
    ]
    text += ["| set | oracle | by Stein | below the oracle | limit | by hidden pixels | below the oracle |"]
    text += ["|--|--|--|--|--|--|--|"]
    for r in result["tune"].values():
        cells = [
            f"{r[k]['chosen']} | {r[k]['loss_db']:.2f} ({r[k]['loss_affine_db']:.2f})" for k in ("stein", "hidden")
        ]
        text.append(
            f"| {r['set']} | {r['oracle']}, {r['oracle_psnr']:.2f} | {cells[0]} | {r['limit']} {mark(r['ok'])} "
            f"| {cells[1]} |"
        )
    text += [
        "",
        "The same without BM3D among the candidates, a choice between equals: dB below the oracle on the whole",
        "",
    ]
    text += ["| set | oracle | by Stein | below | by hidden pixels | below |", "|--|--|--|--|--|--|"]
    for r in result["tune"].values():
        plain = {name: value for name, value in r["psnr"].items() if name != "bm3d"}
        best = max(plain, key=plain.__getitem__)
        chosen = [min(plain, key=r[kind]["errors"].__getitem__) for kind in ("stein", "hidden")]
        cells = [f"{name} | {plain[best] - plain[name]:.2f}" for name in chosen]
        text.append(f"| {r['set']} | {best}, {plain[best]:.2f} | {' | '.join(cells)} |")
    return "\n".join(text) + "\n"


def mark(ok: bool) -> str:
    return "reached" if ok else "**missed**"


SECTIONS: dict[str, tuple[Callable[[Any], dict[str, Any] | None], tuple[Any, ...]]] = {
    "bias": (bias, (0.0, 0.3, 1.0, 2.0, 5.0, 20.0, 31.0, 100.0)),
    "noise": (noise, (*WHITE, *CORRELATED)),
    "bm3d": (bm3d_vst, WHITE),
    "tune": (tuning, (*WHITE, *CORRELATED)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, divided by commas")
    parser.add_argument("--again", action="store_true", help="forget the rows of these sections")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    result = json.loads(given.out.read_text()) if given.out.is_file() else {}
    result = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", **{s: result.get(s, {}) for s in SECTIONS}}
    for section in given.only.split(","):
        work, items = SECTIONS[section]
        if given.again:
            result[section] = {}
        for item in items:
            if str(item) in result[section]:
                continue
            row = work(item)
            if row is not None:
                result[section][str(item)] = row
                given.out.write_text(json.dumps(result, indent=1) + "\n")
                print(
                    section,
                    item,
                    {k: v for k, v in row.items() if k not in ("psnr",)} if section != "tune" else "",
                    flush=True,
                )
    given.out.with_suffix(".md").write_text(table(result))
    print(table(result))


if __name__ == "__main__":
    main()
