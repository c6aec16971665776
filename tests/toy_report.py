"""A report of two small chapters in a folder of its own, for the tests of the engine."""

import fcntl
import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
SHARED = "FLOWSDF_TESTS"  # the environment variable that names a folder for all processes of a test session
FIRST = """# %% [markdown]
# # The first chapter
#
# The area of a disc is $\\\\pi r^2$.

# %% tags=["parameters"]
profile = "smoke"
data = "procedural"
artifacts = ""
report = ""
mode = "good"
radius = 1.0
counts = [1, 2]

# %%
import os
import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from flowsdf.conventions import Mesh
from flowsdf.report import results, views3d

chapter = results.open_chapter("00_first", globals())

# %%
if mode == "raise":
    raise ValueError("the disc is <b>square</b>")
if mode == "sleep":
    (chapter.artifacts / "kernel.pid").write_text(str(os.getpid()))
    while True:
        try:
            time.sleep(600)
        except KeyboardInterrupt:
            pass
if mode == "die":
    os.kill(os.getpid(), 9)
results.record_metrics(chapter, {"area": np.pi * radius**2, "length": len(mode)})

# %%
results.say(chapter, "The area is **{area:.4f}**.")

# %%
table = pd.DataFrame({"shape": ["disc", "<script>alert(1)</script>"], "area": [np.pi, np.nan]})
results.save_table(chapter, table, "areas", caption="Areas <i>.")
figure, axis = plt.subplots(figsize=(2, 2))
axis.plot([0, 1])
results.save_figure(chapter, figure, "line", caption="A line & <u>more</u>.", key=True)

# %%
triangle = Mesh(np.eye(3), np.array([[0, 1, 2]]))
views3d.save_view(chapter, {"one": triangle, "two": {0.0: triangle, 1.0: triangle}}, "triangles", caption="Triangles.")

# %%
results.record_claims(chapter, ["T1"])
results.finish(chapter)
"""
SECOND = """# %% [markdown]
# # The second chapter

# %% tags=["parameters"]
profile = "smoke"
data = "procedural"
artifacts = ""
report = ""

# %%
from flowsdf.report import ledger, results

chapter = results.open_chapter("99_second", globals())
rows = ledger.write_ledger(chapter.places)
results.record_metrics(chapter, ledger.counts(rows))
results.save_table(chapter, rows[["id", "verdict"]], "ledger", caption="The ledger.")
results.finish(chapter, also=["../ledger.json"])
"""
CLAIMS = """- id: T1
  chapter: 00_first
  source: "004"
  type: analytic
  statement: "A disc has an area <b>."
  metric: [area]
  reported: [3.1416]
  digits: [4]
  test: exact
  over: shapes
  scale: any
  declared: 2026-01-01T00:00:00Z
"""
EXHIBITS = '- {source: "004", exhibit: "Table 1", chapter: 00_first, file: tables/areas.csv}\n'


def make(root: Path) -> Path:
    """Write the sources of the report, and nothing that a run makes."""
    for folder in ("notebooks", "params/smoke"):
        (root / folder).mkdir(parents=True)
    (root / "notebooks" / "00_first.py").write_text(FIRST.replace("\\\\", "\\"))
    (root / "notebooks" / "99_second.py").write_text(SECOND)
    (root / "params" / "claims.yaml").write_text(CLAIMS)
    (root / "params" / "exhibits.yaml").write_text(EXHIBITS)
    (root / "params" / "smoke" / "common.yaml").write_text("profile: smoke\ndata: procedural\n")
    return root


def environment(root: Path) -> dict[str, str]:
    """The environment that makes the engine work on this report."""
    return {**os.environ, "FLOWSDF_ROOT": str(root), "PYTHONPATH": str(HERE), "PYTHONUTF8": "1"}


def command(module: str, *words: str) -> list[str]:
    """One door of the engine."""
    return [sys.executable, "-m", f"flowsdf.report.{module}", *words, "--profile", "smoke"]


def run(root: Path, module: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a door to its end."""
    options = {"cwd": root, "env": environment(root), "capture_output": True, "text": True, "timeout": 300}
    return subprocess.run(command(module, *words), **options)


@functools.cache
def finished() -> Path:
    """A report whose two chapters have run, once for all processes of a session; tests change copies of it."""
    root = Path(os.environ[SHARED]) / "report"
    with root.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be making it
        if not root.exists():
            begun = make(Path(tempfile.mkdtemp(dir=root.parent)))
            for words in (["00_first"], ["99_second", "--after", "00_first", "params/claims.yaml"]):
                done = run(begun, "execute", *words)
                assert done.returncode == 0, done.stderr
            begun.rename(root)
    return root
