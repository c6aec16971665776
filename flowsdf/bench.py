"""Every speed this project claims, beside the obvious alternative, timed in turn in one run.

python -m flowsdf.bench [--quick] [--only name...] [--out reports/bench/bench.json]
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from flowsdf.data.faults import Failed
from flowsdf.data.files import write_whole
from flowsdf.report.doors import leave, writable
from flowsdf.report.machine import machine
from flowsdf.report.places import ROOT
from flowsdf.studies import benchmarks, view_benchmarks
from flowsdf.studies.benchmarks import Row


def full() -> dict[str, Callable[[], Row]]:
    """The comparisons at the sizes that are claimed; imports are here, as spawned processes do without."""
    from flowsdf.studies import latent_benchmarks, network_benchmarks, pershape_benchmarks, render_benchmarks

    shipped = cache(network_benchmarks.shipped)
    decoders = cache(lambda: network_benchmarks.trained_decoders(ROOT / "artifacts", shipped()[0]))
    batch = cache(lambda: network_benchmarks.training_batch(*decoders()[0], points=8192, resolution=128))
    data, view, networks = benchmarks, view_benchmarks, network_benchmarks
    return {
        "sdf": lambda: data.sdf(points=200_000, faces=65_000),
        "predict": lambda: networks.prediction(*shipped(), resolution=128, rounds=5),
        "watertight": lambda: data.watertight(faces=50_000, resolution=128),
        "views": lambda: view.views(faces=20_000, count=64),
        "views_rate": lambda: view.views_rate(faces=20_000, shapes=16, count=64),
        "views_steady": lambda: view.views_steady(faces=20_000, total=5_000, window=500),
        "deepsdf_step": lambda: networks.deepsdf_step(batch(), rounds=5),
        "deepsdf_bf16": lambda: networks.deepsdf_bf16(batch(), rounds=5, steps=300, width=512, depth=8),
        "field": lambda: networks.decoder_field(decoders(), points=200_000, rounds=3),
        "latent_fit": lambda: latent_benchmarks.unseen_latents(*decoders()[0], points=20_000, resolution=128),
        "silhouette": lambda: render_benchmarks.silhouette(size=64, depths=48, steps=300, rounds=3),
        "pershape": lambda: pershape_benchmarks.pershape(decoders=100, points=512, steps=50),
        "extraction_128": lambda: networks.extraction(decoders()[:1], resolution=128, shapes=5),
        "extraction": lambda: networks.extraction(decoders(), resolution=256, shapes=1),
    }


def quick(folder: Path) -> dict[str, Callable[[], Row]]:
    """The same comparisons, too small to mean anything: that they run is all they show."""
    from flowsdf.studies import latent_benchmarks, network_benchmarks, pershape_benchmarks, render_benchmarks

    model, encoder = network_benchmarks.stand_in(folder)
    decoders = [(model.decoder, model.latents)] * 2
    batch = cache(lambda: network_benchmarks.training_batch(*decoders[0], points=512, resolution=24))
    data, view, networks = benchmarks, view_benchmarks, network_benchmarks
    return {
        "sdf": lambda: data.sdf(points=500, faces=1_000, scans=10),
        "predict": lambda: networks.prediction(model, encoder, resolution=24, rounds=1),
        "watertight": lambda: data.watertight(faces=2_000, resolution=32),
        "views": lambda: view.views(faces=1_000, count=2),
        "views_rate": lambda: view.views_rate(faces=1_000, shapes=2, count=2),
        "views_steady": lambda: view.views_steady(faces=1_000, total=20, window=10),
        "deepsdf_step": lambda: networks.deepsdf_step(batch(), rounds=1),
        "deepsdf_bf16": lambda: networks.deepsdf_bf16(batch(), rounds=1, steps=3, width=32, depth=4),
        "field": lambda: networks.decoder_field(decoders, points=2_000, rounds=1),
        "latent_fit": lambda: latent_benchmarks.unseen_latents(
            *decoders[0], points=600, resolution=24, names=["tunnel"], steps=(2, 3)
        ),
        "silhouette": lambda: render_benchmarks.silhouette(size=16, depths=8, steps=3, rounds=1),
        "pershape": lambda: pershape_benchmarks.pershape(decoders=3, points=32, steps=2),
        "extraction_128": lambda: networks.extraction(decoders[:1], resolution=33, shapes=1),
        "extraction": lambda: networks.extraction(decoders, resolution=65, shapes=1),
    }


def measure(comparisons: dict[str, Callable[[], Row]], only: Sequence[str]) -> dict[str, Row]:
    """The rows of the comparisons, or of some of them, each said as it comes."""
    unknown = set(only) - set(comparisons)
    if unknown:
        raise Failed(f"--only {' '.join(sorted(unknown))}: choose from {', '.join(comparisons)}")
    rows = {}
    print(f"{'':15}{'ours':>10}{'baseline':>11}{'ratio':>10}  {'unit':9}{'difference':>10}", flush=True)
    for name, compare in comparisons.items():
        if only and name not in only:
            continue
        row = rows[name] = compare()
        numbers = f"{row.ours:10.4g} {row.baseline:10.4g} {row.ratio:8.2f}x  {row.unit:9}{row.difference:10.2g}"
        print(f"{name:15}{numbers}\n{'':15}{row.note}", flush=True)
        if not all(map(math.isfinite, (row.ours, row.baseline, row.ratio, row.difference))):
            raise Failed(f"{name}: a result is not finite")
    return rows


def record(rows: dict[str, Row], path: Path, seconds: float) -> None:
    """Write the rows as JSON, as a page that can be read, and beside them what they were measured on."""
    table = {name: {**row._asdict(), "ratio": row.ratio} for name, row in rows.items()}
    write_whole(path, (json.dumps(table, indent=2) + "\n").encode())
    run = {**machine(), "seconds": round(seconds, 1)}
    write_whole(path.with_name("run.json"), (json.dumps(run, indent=2) + "\n").encode())
    write_whole(path.with_name("README.md"), page(rows, run).encode())


def page(rows: dict[str, Row], run: dict) -> str:
    """The rows as a Markdown table."""
    commit = f"{run['commit']}{' with uncommitted changes' if run['dirty'] else ''}"
    lines = [
        "# Speed beside the obvious alternative",
        "",
        f"Made by `make bench` in {run['seconds'] / 60:.0f} minutes, on {run['device']} with {run['cores']} cores, at "
        f"commit {commit}. Ours and the baseline were timed in turn. The difference is the largest between what they "
        "computed, where the last column says nothing else.",
        "",
        "| comparison | ours | baseline | unit | ratio | difference | what |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        numbers = f"{row.ours:.4g} | {row.baseline:.4g} | {row.unit} | {row.ratio:.2f} | {row.difference:.2g}"
        lines.append(f"| {name} | {numbers} | {row.note} |")
    return "\n".join(lines) + "\n"


def main(words: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m flowsdf.bench", description="Speed beside the alternative.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: whether it runs, not how fast")
    parser.add_argument("--only", nargs="+", default=[], help="some of the names; nothing is written")
    parser.add_argument("--out", type=Path, help="the JSON file (reports/bench/bench.json, or quick/bench.json)")
    ask = parser.parse_args(words)
    out = ask.out or ROOT / "reports" / "bench" / ("quick" if ask.quick else "") / "bench.json"
    if not ask.only:  # rather now than after all is measured
        writable(out.parent)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(quick(Path(folder)) if ask.quick else full(), ask.only)
    if not ask.only:
        record(rows, out, time.perf_counter() - began)
    return 0


if __name__ == "__main__":
    leave(main)
