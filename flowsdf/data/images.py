"""Photographs and drawings as the views that the networks know: 224 x 224 RGB on black.

The one conversion, in this order. A file is PNG, JPEG or WebP by its content, whatever its name. It is turned as
its EXIF says. Of 16 bits the upper 8 count; palettes, greys and CMYK become RGB; colour profiles are not applied.
What is transparent becomes black. The longer side is scaled to 224 and the picture centred on a black square.
Of an animation the first frame counts.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from flowsdf.data.faults import Failed

SIZE = 224  # pixels a side
MOST = 8  # images of one object
FORMATS = ("PNG", "JPEG", "WEBP")
PIXELS = 64_000_000  # more are refused before they are decoded
FLAT = 2  # levels of 255: what varies by no more is blank


class Blank(ValueError):  # noqa: N818
    """The image shows nothing."""


def read_photographs(paths: Sequence[Path]) -> UInt8[np.ndarray, "n 224 224 3"]:
    """One to eight images of an object, converted; Failed names the file, what is wrong and what to do."""
    if not 1 <= len(paths) <= MOST:
        raise Failed(f"{len(paths)} images given: give 1 to {MOST} images of one object")
    return np.stack([read_photograph(path) for path in paths])


def read_photograph(path: Path) -> UInt8[np.ndarray, "224 224 3"]:
    """One image file, converted; Failed names the file, what is wrong and what to do."""
    name = "".join(letter if letter.isprintable() else "?" for letter in str(path))
    try:
        found = path.is_file()
    except OSError as error:  # a folder that may not be entered, a name that is too long
        raise Failed(f"{name}: {error.strerror}: check the name") from None
    if not found:
        raise Failed(f"{name}: there is no such file: check the name")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                _check_size(image)
                return square(_rgb(ImageOps.exif_transpose(image)))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Failed(f"{name}: more than {PIXELS / 1e6:.0f} million pixels: scale it down") from None
    except UnidentifiedImageError:
        raise Failed(f"{name}: its content is not PNG, JPEG or WebP: save it as one of these") from None
    except Blank:
        raise Failed(f"{name}: blank, every pixel is the same: give an image that shows the object") from None
    except PermissionError:
        raise Failed(f"{name}: may not be read: check its permissions") from None
    except Exception:  # a decoder may stumble over hostile bytes in any way
        raise Failed(f"{name}: truncated or damaged: save or fetch it again") from None


def square(image: Image.Image) -> UInt8[np.ndarray, "224 224 3"]:
    """An RGB image scaled to a longer side of 224 and centred on black; Blank when it shows nothing."""
    scale = SIZE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    if np.ptp(pixels.astype(np.int16), axis=(0, 1)).max() <= FLAT:
        raise Blank("every pixel is the same")
    top, left = (SIZE - height) // 2, (SIZE - width) // 2
    canvas = np.zeros((SIZE, SIZE, 3), np.uint8)
    canvas[top : top + height, left : left + width] = pixels
    return canvas


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > PIXELS:
        raise Image.DecompressionBombError


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode that the three formats decode to, as RGB, transparency over black."""
    if image.mode.startswith("I"):  # 16-bit grey
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    layered = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layered.size, (0, 0, 0, 255)), layered).convert("RGB")
