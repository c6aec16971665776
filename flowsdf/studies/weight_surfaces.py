"""The surfaces that weights decode to, what they are made of, and which holes survive an error of the weights."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from flowsdf.conventions import Mesh, Surface
from flowsdf.data.executor import each
from flowsdf.evaluation.topology import Topology, topology
from flowsdf.geometry.extract import extract
from flowsdf.studies import hypernetworks, pershape
from flowsdf.studies.weight_shapes import Shapes


def surfaces(codes: Float[Tensor, "n w"], shapes: Shapes, resolution: int) -> list[Surface]:
    """The surfaces of decoders with these weights, each on a core."""
    return each(_surface, [(code[None].numpy(), shapes.size, resolution) for code in codes], label="surfaces")


def _surface(task: tuple[Float[np.ndarray, "1 w"], dict, int]) -> Surface:
    code, size, resolution = task
    return extract(pershape.fields(pershape.restore(torch.from_numpy(code), **size))[0], resolution)


def topologies(vectors: Float[Tensor, "n w"], shapes: Shapes, resolution: int) -> list[Topology]:
    """What the decoded surfaces are made of, each told on a core."""
    return each(_topology, [(code[None].numpy(), shapes.size, resolution) for code in vectors], label="topologies")


def _topology(task: tuple[Float[np.ndarray, "1 w"], dict, int]) -> Topology:
    return topology(_surface(task).mesh)


def holes(
    vectors: Float[Tensor, "n w"],
    wrong: Mapping[str, Float[Tensor, "n w"]],
    shapes: Shapes,
    *,
    holed: int,
    resolution: int,
    sizes: Sequence[float] = (1e-7, 1e-6, 1e-5, 1e-4),
) -> pd.DataFrame:
    """Which of the decoders, the first ``holed`` of one hole and the rest of none, keep their genus with errors.

    Every error as it is, and in its direction with the mean squares of ``sizes``.
    """
    rows = []
    for name, error in wrong.items():
        changed = {None: vectors + error} | {mse: hypernetworks.at_error(vectors, error, mse) for mse in sizes}
        for mse, of in changed.items():
            told = hypernetworks.kept(genera(of, shapes, resolution), holed)
            rows.append({"error": name, "mse": mse or float(error.square().mean()), "as it is": mse is None, **told})
    return pd.DataFrame(rows)


def genera(vectors: Float[Tensor, "n w"], shapes: Shapes, resolution: int) -> list[float]:
    """How many holes the decoded surfaces have; NaN where one is open or there is none."""
    return [told.genus for told in topologies(vectors, shapes, resolution)]


def meshes(
    rows: Mapping[str, Float[Tensor, "n w"]], shapes: Shapes, chosen: Sequence[int], resolution: int
) -> list[Mesh]:
    """Row by row, the meshes of the chosen shapes."""
    drawn = torch.cat([of[list(chosen)] for of in rows.values()])
    return [surface.mesh for surface in surfaces(drawn, shapes, resolution)]
