"""Report SNR and PSNR' out of the statistics of two regions: the arithmetic alone, nothing of ImageJ.

A region is anything with `mean`, `std` (sample standard deviation, n - 1), `maximum` and `pixels`.
"""

from __future__ import division

COLUMNS = ("snr", "psnr_prime", "mean_bright", "mean_dark", "std_dark")


def noise(dark):
    """Return the standard deviation of the dark region; ValueError where it shows no noise."""
    if dark.std == 0:
        raise ValueError(
            "the dark region is constant (all %d pixels are %g, std 0), so it shows no noise; choose another region "
            "(clipped or saturated?)" % (dark.pixels, dark.mean)
        )
    return dark.std


def measure(bright, dark, maximum):
    """Return one row of the table, keys as in `COLUMNS`; `maximum` is the largest value of the whole plane."""
    std = noise(dark)
    return {
        "snr": bright.mean / std,
        "psnr_prime": maximum / std,
        "mean_bright": bright.mean,
        "mean_dark": dark.mean,
        "std_dark": std,
    }
