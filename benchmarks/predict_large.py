"""Time and memory of a prediction that does not fit into memory at once: `quietframe denoise` on 2048² and 8192².

Each prediction is a process of its own, so that its peak memory (VmHWM) is its own. Beside it, on the same net and
picture: torch as most training packages predict, eager, float32, tiles of 256 with an overlap of 48, one at a time.

    python benchmarks/predict_large.py [--sizes 2048 8192] [--threads 2] [--json] [--out benchmarks/results]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

PICTURE = """
import sys, numpy as np
from quietframe.images import Image, write_image
size, rng = int(sys.argv[2]), np.random.default_rng(0)
plane = np.concatenate([rng.poisson(300, (256, size)).astype(np.uint16) for _ in range(size // 256)])
write_image(sys.argv[1], Image(plane, "YX"), dtype="uint16")
"""

MODEL = """
import sys, torch
from pathlib import Path
from quietframe.nets.unet import Denoiser
from quietframe_export.graph import export_onnx, receptive_field
torch.manual_seed(0)
net = Denoiser({"depth": 2, "filters": 32}, 300.0, 17.0).eval()
torch.save(net.state_dict(), sys.argv[2])
field = max(receptive_field(net, (4, 4), 300.0, 17.0))
halo = str(-(-field // 4) * 4)
sizes = {"axes": "NCYX", "halo": halo, "step": "4", "min": "8", "outputs": "denoised"}
Path(sys.argv[1]).write_bytes(export_onnx(net, ["denoised"], {f"quietframe.{k}": v for k, v in sizes.items()}))
"""

OURS = """
import json, sys, time
from pathlib import Path
start = time.process_time()
from quietframe.verbs.denoise import denoise
source, out, model, threads = sys.argv[1:5]
done = denoise(Path(source), Path(out), model=Path(model), provider="cpu", threads=int(threads), overwrite=True)
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"cpu_s": time.process_time() - start, "peak_gb": peak / 2**20, "tile": done["tile"]}))
"""

TORCH = """
import json, sys, time
start = time.process_time()
import numpy as np, torch
from quietframe.images import Image, read_image, write_image
from quietframe.nets.unet import Denoiser
source, out, weights, threads = sys.argv[1:5]
torch.set_num_threads(int(threads))
net = Denoiser({"depth": 2, "filters": 32}, 300.0, 17.0).eval()
net.load_state_dict(torch.load(weights, weights_only=True))
picture = read_image(source).array.astype(np.float32)
result, tile, margin = np.empty_like(picture), 256, 24
def starts(length):
    return sorted({min(at, length - tile) for at in range(0, length, tile - 2 * margin)})
with torch.inference_mode():
    for y in starts(picture.shape[0]):
        for x in starts(picture.shape[1]):
            done = net(torch.from_numpy(picture[None, None, y : y + tile, x : x + tile])).numpy()[0, 0]
            top, left = margin if y else 0, margin if x else 0
            result[y + top : y + tile, x + left : x + tile] = done[top:, left:]
write_image(out, Image(result, "YX"), overwrite=True)
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"cpu_s": time.process_time() - start, "peak_gb": peak / 2**20, "tile": tile}))
"""


def run(program: str, *arguments: object, threads: int = 1) -> dict[str, Any]:
    """Run a program in a process of its own and return what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}


def measure(sizes: list[int], threads: int, rounds: int) -> list[dict[str, Any]]:
    """Predict every size in turns; the best of the rounds counts, because other work on the machine only adds."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(MODEL, folder / "net.onnx", folder / "net.pt")
        for size in sizes:
            run(PICTURE, folder / "in.tif", size)
            found: dict[str, list[dict[str, Any]]] = {"quietframe": [], "torch": []}
            for _ in range(rounds if size <= 4096 else 1):
                for who, program, model in (("quietframe", OURS, "net.onnx"), ("torch", TORCH, "net.pt")):
                    if who == "torch" and size > 4096:
                        continue
                    paths = (folder / "in.tif", folder / "out.tif", folder / model)
                    found[who].append(run(program, *paths, threads, threads=threads))
            for who, each in found.items():
                if each:
                    best = {key: min(one[key] for one in each) for key in ("cpu_s", "peak_gb")}
                    rows.append({"who": who, "size": size, **best, "tile": each[0]["tile"]})
            (folder / "in.tif").unlink()
            (folder / "out.tif").unlink()
    return rows


def table(result: dict[str, Any]) -> str:
    """Write the result as Markdown."""
    lines = [
        "# Prediction of large pictures",
        "",
        f"U-Net depth 2, 32 filters, float32, uint16 TIFF to float32 TIFF; whole process with imports and files. "
        f"{result['machine']}, {result['threads']} threads.",
        "",
        "| picture | what | CPU-s | CPU-s per Mpixel | peak memory [GB] |",
        "|---|---|---|---|---|",
    ]
    names = {"quietframe": "quietframe denoise", "torch": "torch, eager, tiles of 256, overlap 48"}
    for row in result["rows"]:
        per = row["cpu_s"] / (row["size"] ** 2 / 1e6)
        lines.append(
            f"| {row['size']}² | {names[row['who']]} | {row['cpu_s']:.1f} | {per:.2f} | {row['peak_gb']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write or print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2048, 8192])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object and write nothing")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    rows = measure(given.sizes, given.threads, given.rounds)
    result = {"machine": machine, "threads": given.threads, "rows": rows}
    if given.json:
        print(json.dumps(result))
        return
    (given.out / "predict_large.json").write_text(json.dumps(result, indent=2) + "\n")
    (given.out / "predict_large.md").write_text(table(result))
    print(table(result))


if __name__ == "__main__":
    main()
