"""What more training shapes buy: the scores of a sweep, per count, with laws fitted to them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from flowsdf.data.faults import Failed
from flowsdf.evaluation.few_values import few_seeds_interval
from flowsdf.evaluation.intervals import Interval
from flowsdf.evaluation.scaling import PowerLaw, power_law

EXPECTED = 976  # shapes of the thesis, to which laws are drawn out


def per_count(scores: pd.DataFrame, row: str, score: str) -> tuple[list[int], Float[np.ndarray, "counts seeds shapes"]]:
    """One row's score of every test shape, by training count and seed; seeds that lack a count are left out."""
    own = scores[scores.row == row]
    table = own.pivot(index=["seed", "shape"], columns="shapes", values=score)
    whole = table.groupby("seed").filter(lambda cells: bool(cells.notna().all(axis=None)))
    seeds = whole.index.get_level_values("seed").nunique()
    if seeds < 2:
        raise Failed(
            f"{seeds} seeds of the sweep have every count, and an interval needs two: make sweep SEEDS=with more"
        )
    return [int(count) for count in table.columns], whole.to_numpy().T.reshape(len(table.columns), seeds, -1)


def enough(scores: pd.DataFrame) -> bool:
    """Whether a law can be fitted: three counts, two seeds that have them all, two test shapes."""
    counts, seeds = scores.shapes.nunique(), scores.groupby("seed").shapes.nunique()
    return counts >= 3 and int((seeds == counts).sum()) >= 2 and scores["shape"].nunique() >= 2


def fitted_laws(scores: pd.DataFrame, rows: Sequence[str], *, score: str = "chamfer_l1") -> dict[str, PowerLaw]:
    """The power law of an error over the training count, of each row of the table; Failed below three counts."""
    counts = sorted(scores.shapes.unique())
    if len(counts) < 3:
        raise Failed(f"a law needs three counts or more, and the sweep has {counts}: make sweep COUNTS=with more")
    return {row: power_law(*per_count(scores, row, score), seed=0) for row in rows}


def law_table(laws: dict[str, PowerLaw]) -> pd.DataFrame:
    """Per row: the exponent with its interval, and what the law says for the thesis's count."""
    lines = []
    for row, law in laws.items():
        said = law.at([EXPECTED])[0]
        lines.append((row, *law.exponents(), said[0], f"[{said[1]:.3f}, {said[2]:.3f}]"))
    return pd.DataFrame(lines, columns=["row", "exponent", "low", "high", f"at {EXPECTED} shapes", "95 %"])


def measured(scores: pd.DataFrame, rows: Sequence[str], *, score: str = "chamfer_l1") -> pd.DataFrame:
    """Per row and count: the mean over seeds and shapes, and its interval over both."""
    lines = []
    for row in rows:
        counts, values = per_count(scores, row, score)
        lines += [(row, count, *few_seeds_interval(v)) for count, v in zip(counts, values, strict=True)]
    return pd.DataFrame(lines, columns=["row", "training shapes", score, "low", "high"])


def drawn_out(laws: dict[str, PowerLaw], counts: Sequence[int], *, score: str = "chamfer_l1") -> pd.DataFrame:
    """The lines and bands of the laws, from the fewest shapes measured to the thesis's count."""
    at = np.unique([*np.geomspace(min(counts), max(counts), 20), *np.geomspace(max(counts), EXPECTED, 20)])
    columns = [score, "low", "high"]
    tables = [pd.DataFrame(law.at(at), columns=columns).assign(row=row) for row, law in laws.items()]
    return pd.concat(tables).assign(**{"training shapes": np.tile(at, len(laws))})


def gains(scores: pd.DataFrame, ours: str, other: str, *, score: str = "iou") -> pd.DataFrame:
    """Per count: what ours gains on the other row, shape by shape, with its interval over seeds and shapes."""
    counts, values = per_count(scores, ours, score)
    pairs = zip(counts, values - per_count(scores, other, score)[1], strict=True)
    lines = [(count, *few_seeds_interval(v), int((v.mean(0) > 0).sum())) for count, v in pairs]
    table = pd.DataFrame(lines, columns=["training shapes", f"{score} gained", "low", "high", "shapes ahead"])
    return table.assign(of=values.shape[2], seeds=values.shape[1])


def nearer_with_more(scores: pd.DataFrame, row: str, *, score: str = "chamfer_l1") -> Interval:
    """By how much an error is smaller with the most shapes than with the fewest, on the same test shapes."""
    values = per_count(scores, row, score)[1]
    return few_seeds_interval(values[0] - values[-1])
