"""Unseen objects: the gap to seen ones, and the category of the nearest training shape."""

import numpy as np
import pandas as pd
import pytest

from flowsdf.conventions import Mesh, Surface
from flowsdf.data.manifest import Entry
from flowsdf.geometry import implicit
from flowsdf.geometry.extract import extract
from flowsdf.geometry.mesh import sample_surface
from flowsdf.studies import unseen

EMPTY = Surface(Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64)), np.ones((8, 8, 8), np.float32))


def entry(category: str) -> Entry:
    return Entry(0, "u", category, "cc0", True, "test", "0.obj", "0", "train", {})


def ball(radius: float) -> Surface:
    return extract(implicit.sphere(radius), 40)


def test_gaps_are_differences_of_means_by_split() -> None:
    seen = pd.DataFrame({"iou": [0.9, 0.8, 1.0], "split": "train"})
    objects = pd.DataFrame({"iou": [0.5, 0.3, 0.1], "split": ["special", "special", "held_out_shape"]})
    table = unseen.gaps(seen, objects, seed=0).set_index("objects")
    assert table.index.tolist() == ["all unseen", "special", "held_out_shape"] and table.n.tolist() == [3, 2, 1]
    assert table["iou minus training"].to_numpy() == pytest.approx([-0.6, -0.5, -0.8])
    assert (table.low < table["iou minus training"])[:2].all() and np.isnan(table.low["held_out_shape"])
    assert table["iou of training"].to_numpy() == pytest.approx(0.9)


def test_the_category_of_the_nearest_training_shape() -> None:
    train = [entry(name) for name in ("small", "large")]
    known = [sample_surface(ball(radius).mesh, 500, np.random.default_rng(0)).points for radius in (0.4, 0.8)]
    objects = [entry(name) for name in ("large", "never trained", "small")]
    rows = {"right": [ball(0.75), EMPTY, ball(0.45)], "wrong": [ball(0.45), EMPTY, ball(0.75)]}
    table = unseen.category_table(rows, objects, train, known).set_index("row")
    assert table.n.tolist() == [2, 2] and table["category top-1"].to_dict() == {"right": 1.0, "wrong": 0.0}
    assert not len(unseen.category_table(rows, objects[1:2], train, known))
