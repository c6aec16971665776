"""What the command lines share: the run they are about, and failures that are one line."""

import argparse
import errno
import sys
from collections.abc import Callable

from flowsdf.data.faults import Failed

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def run_parser(description: str) -> argparse.ArgumentParser:
    """A parser that knows which run is meant: its profile and its data."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--data", default="procedural")
    return parser


def leave(main: Callable[[], int | None]) -> None:
    """End the process with what ``main`` returns; 1 and one line when it Failed, or the disk did."""
    try:
        sys.exit(main())
    except (Failed, OSError) as failure:
        if isinstance(failure, OSError) and failure.errno not in DISK:
            raise
        print(f"FAILED: {told(failure)}", file=sys.stderr)
        sys.exit(1)


def told(failure: Failed | OSError) -> str:
    """What went wrong, in a line."""
    if isinstance(failure, Failed):
        return str(failure)
    return f"{failure.filename or 'a file'}: {failure.strerror or failure}; what was finished is kept"
