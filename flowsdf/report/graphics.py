"""Check for the libraries that render without a screen; as root on Debian or Ubuntu, install the missing ones.

python -m flowsdf.report.graphics
"""

import ctypes
import os
import shutil
import subprocess
import sys

LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libOpenGL.so.0": "libopengl0",
    "libGLESv2.so.2": "libgles2",
    "libGL.so.1": "libgl1",
}
PACKAGES = (*LIBRARIES.values(), "libgl1-mesa-dri")  # the last one draws on the CPU
COMMAND = f"apt-get update && apt-get install -y {' '.join(PACKAGES)}"


def missing() -> list[str]:
    """The shared libraries that cannot be loaded."""
    absent = []
    for name in LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError:
            absent.append(name)
    return absent


def main() -> int:
    """0 when everything is there, or was installed; otherwise 1 and the one command to run."""
    if sys.platform != "linux" or not missing():
        return 0
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"installing {' '.join(PACKAGES)}", flush=True)
        subprocess.run(
            COMMAND, shell=True, stdout=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        )
    if absent := missing():
        print(f"FAILED: {', '.join(absent)} not found, needed to render; run: sudo sh -c '{COMMAND}'", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
