"""What the command lines share: the run they are about, and failures that are one line."""

import argparse
import sys
from collections.abc import Callable

from flowsdf.data.faults import Failed


def run_parser(description: str) -> argparse.ArgumentParser:
    """A parser that knows which run is meant: its profile and its data."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--data", default="procedural")
    return parser


def leave(main: Callable[[], int | None]) -> None:
    """End the process with what ``main`` returns; 1 and one line when it Failed."""
    try:
        sys.exit(main())
    except Failed as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        sys.exit(1)
