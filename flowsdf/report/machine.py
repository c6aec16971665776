"""What a run's numbers were computed on: device, versions, commit, memory, time."""

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from flowsdf.report.places import ROOT

PACKAGES = ("numpy", "scipy", "torch", "scikit-image", "trimesh", "libigl", "pyrender", "transformers", "mesh-to-sdf")


def git(*words: str) -> str:
    """What git says about the repository; empty without git."""
    try:
        return subprocess.run(("git", *words), cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def version(package: str) -> str:
    """An installed package's version, or a dash."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "-"


def processor() -> str:
    """The processor's name where the system tells it, otherwise its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def machine() -> dict[str, Any]:
    """What the numbers were computed on: device, threads, versions, commit."""
    torch: Any = sys.modules.get("torch")  # never imported for this alone
    cuda = bool(torch) and torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if cuda else f"CPU, {processor()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads() if torch else 1,
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
        "commit": git("rev-parse", "--short=12", "HEAD") or "unknown",
        "dirty": bool(git("status", "--porcelain")),
    }


def peak_gigabytes() -> float:
    """The largest memory the notebook, or one of its finished children, has held, in GB."""
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e9, 3)


def stamp(moment: float) -> str:
    """A moment as UTC text."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
