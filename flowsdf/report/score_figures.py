"""Scores with their intervals as figures, in the report's one look."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from flowsdf.evaluation.few_values import student_interval
from flowsdf.report.figures import PALETTE, WORDS, set_style


def ranges(table: pd.DataFrame, *, x: str, y: str, hue: str, line: bool = False) -> Figure:
    """Means of a score with 95 % intervals by Student's t, one point per group and value of `hue`, side by side.

    The score lies along x and the groups are rows, with a light dot for every shape; with `line` it lies along y, over
    a number, and points are joined. The axis spans the scores: a wider interval of few shapes ends at its edge.
    """
    set_style()
    groups = table[x if line else y].nunique()
    figure, axis = plt.subplots(figsize=(6.4, 3.4) if line else (7.2, 0.8 + 0.42 * groups))
    style = {"linestyle": "-" if line else "none", "native_scale": line, "markersize": 4, "linewidth": 1.2}
    apart = {"x": x, "y": y, "hue": hue, "ax": axis, "palette": "colorblind"}
    hues = table[hue].nunique()
    if not line:
        sns.stripplot(table, **apart, dodge=hues > 1, jitter=False, size=3.5, alpha=0.35, legend=False)
    sns.pointplot(
        table,
        **apart,
        dodge=0.8 * (1 - 1 / hues) if hues > 1 else False,  # where stripplot puts its dots
        errorbar=lambda v: student_interval(v.to_numpy())[1:],
        **style,
    )
    scores = table[y if line else x]
    edges = scores.min() - 0.03 * np.ptp(scores), scores.max() + 0.03 * np.ptp(scores)
    axis.set(xlabel=WORDS.get(x, x), ylabel=WORDS.get(y, y) if line else "")
    axis.set(ylim=edges) if line else axis.set(xlim=edges)
    sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1), title=None)
    shapes = dict(table.groupby(hue)["shape"].nunique()) if "shape" in table else {}
    for text in axis.get_legend().get_texts():
        name = text.get_text()
        text.set_text(name.replace("_", " ") + (f" ({shapes[name]})" if name in shapes else ""))
    return figure


def laws(measured: pd.DataFrame, fitted: pd.DataFrame, *, x: str, y: str, hue: str) -> Figure:
    """Measured means with their intervals, and fitted lines with bands, dashed where nothing was measured.

    Both tables have columns x, y, hue, low and high; both axes are logarithmic.
    """
    set_style()
    figure, axis = plt.subplots(figsize=(7.2, 4.2))
    for color, (name, line) in zip(PALETTE, fitted.groupby(hue, sort=False), strict=False):
        points = measured[measured[hue] == name]
        reach = abs(points[["low", "high"]].sub(points[y], axis=0)).T.to_numpy()
        axis.errorbar(points[x], points[y], yerr=reach, fmt="o", markersize=5, color=color, label=name)
        inside = line[line[x] <= points[x].max()]
        axis.plot(inside[x], inside[y], color=color, linewidth=1.4)
        axis.plot(line[x][len(inside) - 1 :], line[y][len(inside) - 1 :], color=color, linewidth=1.4, linestyle="--")
        axis.fill_between(line[x], line["low"], line["high"], color=color, alpha=0.12, linewidth=0)
    axis.set(xscale="log", yscale="log", xlabel=x, ylabel=WORDS.get(y, y))
    ticks = sorted({*measured[x], fitted[x].max()})
    axis.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axis.yaxis.set(major_formatter=ScalarFormatter(), minor_formatter=ScalarFormatter())
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
