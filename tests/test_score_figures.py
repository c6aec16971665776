"""Figures of scores: drawn with one group of shapes as with several, and the means where they belong."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from flowsdf.report.score_figures import ranges


@pytest.mark.parametrize("splits", [["seen"], ["seen", "never_seen"]])
@pytest.mark.parametrize("line", [False, True])
def test_the_means_stand_at_their_scores_for_any_number_of_groups(splits, line):
    drawn = [(row, split, f"{split} {k}", row + k) for row in (1.0, 2.0) for split in splits for k in (0.1, 0.3, 0.2)]
    table = pd.DataFrame(drawn, columns=["views", "split", "shape", "iou"])
    across = {"x": "views", "y": "iou"} if line else {"x": "iou", "y": "views"}
    figure = ranges(table if line else table.astype({"views": str}), hue="split", line=line, **across)
    axis = figure.axes[0]
    scores = [np.asarray(curve.get_ydata() if line else curve.get_xdata()) for curve in axis.lines]
    means = [values for values in scores if len(values) == 2 and np.allclose(np.sort(values), [1.2, 2.2])]
    assert len(means) == len(splits)
    legend = [text.get_text() for text in axis.get_legend().get_texts()]
    assert legend == [f"{split.replace('_', ' ')} (3)" for split in splits]
    dots = sorted(x for of in axis.collections for x, _ in of.get_offsets().tolist())
    assert dots == ([] if line else sorted(table.iou))  # every shape is there
    assert (axis.get_ylabel() if line else axis.get_xlabel()) == "IoU"
    plt.close(figure)
