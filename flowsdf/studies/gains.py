"""What one answer gains on another over the same unseen shapes, and what is recalled of those it learned from."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from flowsdf.evaluation.detectors import above
from flowsdf.evaluation.few_values import shapes_interval
from flowsdf.studies.generalisation import advantage, by_views, views_row
from flowsdf.studies.image_to_latent import Predictor


def gains(scores: pd.DataFrame, rows: Sequence[str], base: str, *, seed: int) -> pd.DataFrame:
    """The IoU that each of the ``rows`` gains on ``base`` (column ``on``), with 95 % intervals over shapes, paired."""
    found = [advantage(scores, row, base, seed=seed, by=("iou",)).head(1).assign(row=row, on=base) for row in rows]
    table = pd.concat(found).rename(columns={base: "base", "model": "iou"})
    return table[["row", "on", "n", "iou", "base", "gain", "low", "high", "ahead"]].reset_index(drop=True)


def gain_metrics(table: pd.DataFrame, named: dict[str, str]) -> dict[str, float]:
    """``gain``, ``low``, ``high`` of the named rows, and whether it ``helps``: a detector of an interval above zero."""
    found: dict[str, float] = {}
    for name, row in named.items():
        gain, low, high = table.loc[table.row == row, ["gain", "low", "high"]].to_numpy(float)[0]
        found |= {f"{name}_gain": gain, f"{name}_low": low, f"{name}_high": high, f"{name}_helps": above(low, high)}
    return found


def paired_ends(
    before: dict[str, Float[np.ndarray, " s"]], after: dict[str, Float[np.ndarray, " s"]], ours: str, *, seed: int
) -> pd.DataFrame:
    """Per start: the mean IoU before and after, and what ``ours`` gains on it after, paired by shape, with 95 %."""
    lines = []
    for start, ends in after.items():
        gained = shapes_interval(after[ours] - ends, seed=seed) if start != ours else (np.nan,) * 3
        lines.append((start, before[start].mean(), ends.mean(), *gained))
    return pd.DataFrame(lines, columns=["start", "IoU", "IoU after", "gain", "low", "high"]).set_index("start")


def recalled_codes(
    predictors: dict[str, Predictor],
    given: dict[str, Float[Tensor, "s v _"]],
    cameras: Float[Tensor, "v 3"],
    codes: Float[Tensor, "s d"],
    *,
    views: int,
    seed: int,
) -> dict[str, Float[np.ndarray, " s"]]:
    """The cosine of each training shape's code to the one predicted from its views, by what the model is told."""
    found = {}
    for name, predictor in predictors.items():
        answer = by_views(predictor, given[name][: len(codes)], cameras, [views], seed=seed)[views_row(views)]
        found[name] = torch.cosine_similarity(answer, codes, dim=-1).cpu().numpy()
    return found
