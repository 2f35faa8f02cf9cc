"""PSF blind spot: which point spread function fits a scene that was blurred by a known one.

Scenes blurred by a Gaussian of 1 px, over a background of 2 photons, behind Poisson light and 2 e- read noise.
"tissue": the ground truth of Confocal_BPAE_G, 256 px of it, as it is. "filaments": what of it stands out of its blur
by 3 px, so that there is detail as fine as the blur by 1 px lets it be. Both at most 20 photons above the background,
"dim filaments" 6: the less light there is, the more a wide PSF gains by what it smoothes, and the less it loses by what
it cannot show. The same picture is learned with PSF 0.5, 1 and 1.5 px and, the tissue, by plain Noise2Void. 400 steps
of 16 patches of 64 px, a U-Net of depth 3 with 16 filters, seed 42. PSNR in dB against the blurred scene, at the peak
of its light. "below black": the lowest value of the net's phantom before it is cut at black, over the range of the
phantom. The order of the limits, 1 px before 1.5 before 0.5, was looked for and found with dim filaments; the rows of
the other scenes say where it is another one.

Run: ``python benchmarks/train_psf.py``; needs the data folder (``QUIETFRAME_DATA``).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import ndimage
from train_rows import Limit, Row, Rows, denoise, fit, fmd, psnr

from quietframe.training.patches import collect

PEAK = {"tissue": 20.0, "filaments": 20.0, "dim filaments": 6.0}
BACKGROUND, READ_NOISE_E, BLUR_PX = 2.0, 2.0, 1.0


@cache
def scene(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the blurred scene and what the camera sees of it."""
    phantom = fmd("Confocal_BPAE_G", "gt")[128:384, 128:384].astype(np.float64)
    if kind.endswith("filaments"):
        phantom = np.clip(phantom - ndimage.gaussian_filter(phantom, 3), 0, None)
    clean = ndimage.gaussian_filter(phantom, BLUR_PX)
    clean = BACKGROUND + PEAK[kind] * clean / np.percentile(clean, 99.9)
    rng = np.random.default_rng(5)
    return clean, (rng.poisson(clean) + rng.normal(0, READ_NOISE_E, clean.shape)).astype(np.float32)


def measure(kind: str, method: str, **settings: float) -> Row:
    clean, noisy = scene(kind)
    trained, cost = fit(method, collect([noisy], ["scene"]), {"filters": 16, "depth": 3, **settings})
    outputs = denoise(trained, noisy)
    row: Row = {"noisy": psnr(clean, noisy, PEAK[kind]), "denoised": psnr(clean, outputs[0], PEAK[kind])}
    if len(outputs) == 2:
        trained.module.black = -np.inf  # type: ignore[assignment]
        phantom = denoise(trained, noisy)[1]
        row["below black"] = float(max(0.0, -phantom.min()) / np.ptp(phantom))
        row["lowest given"] = float(outputs[1].min() / np.ptp(outputs[1]))
    return {**row, **cost}


def main() -> None:
    rows = Rows(__file__, __doc__ or "")
    for kind in PEAK:
        for sigma in (1.0, 1.5, 0.5):
            rows.row(f"{kind}, PSF {sigma:g} px", lambda k=kind, s=sigma: measure(k, "psf_blind_spot", psf_px=s))
    rows.row("tissue, n2v", lambda: measure("tissue", "n2v"))
    found = [rows.rows.get(f"dim filaments, PSF {sigma:g} px") for sigma in (1.0, 1.5, 0.5)]
    limits: list[Limit] = []
    if all(found):
        best, wide, narrow = (row["denoised"] for row in found if row)
        limits.append(Limit("dim filaments: PSF 1 px over 1.5 px [dB]", best - wide, 0.0))
        limits.append(Limit("dim filaments: PSF 1.5 px over 0.5 px [dB]", wide - narrow, 0.0))
    given = [row["lowest given"] for row in rows.rows.values() if "lowest given" in row]
    if given:
        limits.append(Limit("lowest value of a phantom over its range", min(given), -1e-3))
    names = [f"{kind}, PSF {sigma} px" for kind in PEAK for sigma in ("0.5", "1", "1.5")]
    rows.report(limits, {"Scenes blurred by 1 px": [*names, "tissue, n2v"]})


if __name__ == "__main__":
    main()
