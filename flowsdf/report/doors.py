"""What the command lines share: the run they are about, and failures that are one line."""

import argparse
import errno
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from flowsdf.data.faults import Failed

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)


def run_parser(description: str) -> argparse.ArgumentParser:
    """A parser that knows which run is meant: its profile and its data."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--data", default="procedural")
    return parser


def writable(folder: Path) -> None:
    """Make the folder where it is missing, and try to write there: OSError now, not after hours of work."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def leave(main: Callable[[], int | None]) -> None:
    """End the process with what ``main`` returns; 1 and one line when it Failed, or the disk did, 130 on Ctrl-C."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("stopped by SIGINT; what was finished is kept", file=sys.stderr)
        sys.exit(130)
    except (Failed, OSError) as failure:
        if isinstance(failure, OSError) and failure.errno not in DISK and not isinstance(failure, shutil.Error):
            raise
        print(f"FAILED: {told(failure)}", file=sys.stderr)
        sys.exit(1)


def told(failure: Failed | OSError) -> str:
    """What went wrong, in a line."""
    if isinstance(failure, Failed):
        return str(failure)
    file, reason = failure.filename2 or failure.filename or "a file", failure.strerror or failure
    if isinstance(failure, shutil.Error):  # of a folder that was copied: (from, to, why) of each file
        _, file, reason = failure.args[0][0]
    return f"{file}: {reason}; what was finished is kept"
