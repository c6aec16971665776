"""Depth estimated from colours: a small head on the frozen encoder's patches, fitted to true 16 x 16 depth maps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from flowsdf.data.artefacts import read_images
from flowsdf.data.executor import map_tasks
from flowsdf.data.features import input_size, normalise
from flowsdf.data.manifest import Entry
from flowsdf.studies.conditioning import COARSE, shared_encoder
from flowsdf.train.loop import cosine, generator_at, train
from flowsdf.train.progress import follow

FOLDS = 2
HIDDEN = 256


def estimated_depth(
    prepared: Path,
    entries: Sequence[Entry],
    truth: Float[Tensor, "s v m"],
    *,
    folder: Path | None,
    chosen: Sequence[int],
    **settings: Any,  # those of ``cross_fitted``
) -> tuple[dict[str, Tensor], dict]:
    """``estimated depth`` (s, v, m) of the ``chosen`` views, from their colours; ``truth`` is theirs, 16 x 16."""
    tokens = patches(prepared, entries, chosen)
    blocks = cross_fitted(tokens, as_blocks(truth, tokens.shape[2]), folder=folder, **settings)
    return {"estimated depth": as_map(blocks)}, {}


def cross_fitted(
    tokens: Float[Tensor, "s v p d"],
    wanted: Float[Tensor, "s v p q"],
    *,
    folder: Path | None,
    training: int,
    **settings: Any,  # those of ``fit_head``
) -> Float[Tensor, "s v p q"]:
    """What two heads say, each fitted to every other one of the first ``training`` shapes.

    A shape is told by the head that did not see it, so that training shapes are told as wrongly as the others.
    """
    fold = torch.arange(len(tokens)) % FOLDS
    told = torch.empty_like(wanted)
    for number in range(FOLDS):
        known = (fold[:training] != number).nonzero()[:, 0]
        name, place = f"depth head {number + 1}", folder and folder / f"head{number}"
        head = fit_head(tokens[known].flatten(0, 2), wanted[known].flatten(0, 2), label=name, folder=place, **settings)
        with torch.no_grad():
            for shape in (fold == number).nonzero()[:, 0]:  # one after another: all are tens of gigabytes as floats
                told[shape] = head(tokens[shape].float())
    return told


def fit_head(
    tokens: Float[Tensor, "n d"],
    wanted: Float[Tensor, "n p"],
    *,
    label: str,
    folder: Path | None,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
) -> nn.Module:
    """A perceptron of one hidden layer from a patch's token to the depths of its pixels, by squared error."""
    torch.manual_seed(seed)
    layers = nn.LayerNorm(tokens.shape[1]), nn.Linear(tokens.shape[1], HIDDEN), nn.GELU()
    head = nn.Sequential(*layers, nn.Linear(HIDDEN, wanted.shape[1]))

    def loss_at(step: int) -> Tensor:
        at = torch.randint(len(tokens), (batch,), generator=generator_at(seed, step))
        return (head(tokens[at].float()) - wanted[at]).square().mean()

    optimizer = torch.optim.Adam(head.parameters(), lr=rate, fused=True)
    mark = f"{label} {len(tokens)} {steps} {seed}"
    records = train(loss_at, head, optimizer, steps=steps, schedule=cosine(steps), folder=folder, fingerprint=mark)
    follow(records, label, steps)
    return head.eval()


def patches(folder: Path, entries: Sequence[Entry], chosen: Sequence[int]) -> Float[Tensor, "s v p d"]:
    """The encoder's patch tokens of the ``chosen`` views, row by row from the top left, in half precision."""
    tasks = [(folder, entry, tuple(chosen)) for entry in entries]
    return torch.as_tensor(np.stack(map_tasks(_patches, tasks, label="patches")))


@torch.inference_mode()
def _patches(task: tuple[Path, Entry, tuple[int, ...]]) -> Float[np.ndarray, "v p d"]:
    folder, entry, chosen = task
    encoder = shared_encoder()
    pixels = normalise(torch.from_numpy(read_images(folder, entry)[list(chosen)]), input_size(encoder))
    return encoder.model(pixel_values=pixels).last_hidden_state[:, 1:].half().numpy()


def as_blocks(maps: Float[Tensor, "*s m"], patches: int) -> Float[Tensor, "*s p q"]:
    """16 x 16 maps cut into one square block a patch, row by row; ValueError where they do not fit."""
    side = round(patches**0.5)
    if side * side != patches or COARSE % side:
        raise ValueError(f"{patches} patches do not divide a map of {COARSE} x {COARSE}")
    size = COARSE // side
    return maps.unflatten(-1, (side, size, side, size)).transpose(-3, -2).flatten(-2).flatten(-3, -2)


def as_map(blocks: Float[Tensor, "*s p q"]) -> Float[Tensor, "*s m"]:
    """``as_blocks`` undone."""
    side, size = (round(number**0.5) for number in blocks.shape[-2:])
    return blocks.unflatten(-1, (size, size)).unflatten(-3, (side, side)).transpose(-3, -2).flatten(-4)


def map_errors(maps: Float[Tensor, "s v m"], truth: Float[Tensor, "s v m"]) -> Float[np.ndarray, " s"]:
    """The root mean square error of each shape's maps, in units of the frame."""
    return (maps - truth).square().mean((1, 2)).sqrt().cpu().numpy()
