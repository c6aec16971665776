"""A flow, step by step: one page with a slider over its Euler steps and a switch for the scale of its noise."""

import html
import json
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, Num, UInt8
from PIL import Image

from flowsdf.report.results import Chapter
from flowsdf.report.views3d import png, save_page

PAGE = Path(__file__).with_name("stepper.html")
SIDE = 96  # pixels of a silhouette in the still picture
Walk = Mapping[str, Num[np.ndarray, "..."]]  # towards (k + 1,), aside (k,), cosine (k,), masks (k, h, w)


def save_stepper(
    chapter: Chapter,
    walks: Mapping[str, Mapping[str, Walk]],
    outlines: Mapping[str, Float[np.ndarray, "h w"]],
    name: str,
    *,
    caption: str,
) -> None:
    """Keep walks as views/NAME.html and views/NAME.png; ``walks[shape]`` are those with scaled and unscaled noise.

    ``outlines`` are the true silhouettes. The page asks nothing of any network.
    """
    first = next(iter(walks.values()))
    still = np.concatenate([np.concatenate([bitmap(m, SIDE) for m in w["masks"]], axis=1) for w in first.values()])
    save_page(chapter, page_of(walks, outlines, caption), png(still), name, "Step through it", caption=caption)


def page_of(
    walks: Mapping[str, Mapping[str, Walk]], outlines: Mapping[str, Float[np.ndarray, "h w"]], title: str
) -> str:
    """The page, with every number and picture in it."""
    data = {
        shape: {"truth": address(outlines[shape]), "runs": {name: steps_of(walk) for name, walk in runs.items()}}
        for shape, runs in walks.items()
    }
    text = json.dumps(data).replace("<", "\\u003c")
    return PAGE.read_text(encoding="utf-8").replace("TITLE", html.escape(title)).replace("DATA", text)


def steps_of(walk: Walk) -> dict[str, list]:
    """A walk as the page reads it."""
    numbers = {key: np.round(walk[key], 4).tolist() for key in ("towards", "aside", "cosine")}
    return numbers | {"pictures": [address(mask) for mask in walk["masks"]]}


def bitmap(mask: Float[np.ndarray, "h w"], side: int) -> UInt8[np.ndarray, "side side"]:
    """A silhouette in black on white, with a thin frame."""
    big = Image.fromarray((255 * (1 - mask)).astype(np.uint8)).resize((side, side), Image.Resampling.NEAREST)
    return np.pad(np.asarray(big)[1:-1, 1:-1], 1, constant_values=187)


def address(mask: Float[np.ndarray, "h w"]) -> str:
    """A silhouette as an address that holds it."""
    return "data:image/png;base64," + b64encode(png((255 * (1 - mask)).astype(np.uint8))).decode()
