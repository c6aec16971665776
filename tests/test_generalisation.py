"""What is said of unseen shapes, on scores whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from flowsdf.data.faults import Failed
from flowsdf.evaluation.few_values import shapes_interval
from flowsdf.studies import generalisation, shape_count

OURS = "diffusion, 8 views"


def scores(rng: np.random.Generator, gain: float) -> pd.DataFrame:
    """Twelve shapes of two kinds: ours is better than retrieval by ``gain`` of IoU, and nearer by as much."""
    shapes = [f"obj_{i:04d}" for i in range(12)]
    base = rng.uniform(0.2, 0.4, 12)
    iou = {"retrieval": base, OURS: base + gain, "fitted latent": base + 0.3, "floor": np.full(12, 0.99)}
    lines = [
        {"row": row, "shape": name, "category": f"c{i % 3}", "split": "special" if i < 4 else "held_out_shape"}
        | {"iou": values[i], "chamfer_l1": 2.0 - values[i], "f_005": values[i] / 2}
        for row, values in iou.items()
        for i, name in enumerate(shapes)
    ]
    return pd.DataFrame(lines)


def test_a_gain_is_found_with_its_sign_for_every_score() -> None:
    table = generalisation.advantage(scores(np.random.default_rng(0), 0.1), OURS, "retrieval", seed=0)
    found = table.set_index(["objects", "score"])
    assert found.loc[("all", "iou"), ["gain", "low", "high"]].tolist() == pytest.approx([0.1] * 3)
    assert found.loc[("all", "chamfer_l1"), "gain"] == pytest.approx(0.1)  # nearer is better
    assert found.loc[("all", "f_005"), "gain"] == pytest.approx(0.05)
    assert (found.ahead == found.n).all() and found.n.to_list() == [12] * 3 + [4] * 3 + [8] * 3
    worse = generalisation.advantage(scores(np.random.default_rng(0), -0.1), OURS, "retrieval", seed=0)
    assert (worse.gain < 0).all() and (worse.ahead == 0).all()


def test_the_interval_of_few_shapes_covers() -> None:
    for count in (3, 15):
        drawn = [np.random.default_rng(i).normal(1.0, 0.3, count) for i in range(400)]
        limits = [shapes_interval(values, seed=0)[1:] for values in drawn]
        assert np.mean([low <= 1.0 <= high for low, high in limits]) > 0.9


def test_a_single_shape_has_no_interval() -> None:
    one = scores(np.random.default_rng(0), 0.1)
    one = one[one["shape"] == "obj_0000"]
    table = generalisation.advantage(one, OURS, "retrieval", seed=0, within="category", by=("iou",))
    assert table.gain.to_list() == pytest.approx([0.1, 0.1]) and table[["low", "high"]].isna().all(axis=None)


def test_the_error_is_shared_out_without_rest() -> None:
    table = scores(np.random.default_rng(1), 0.05)
    lost = generalisation.shares_of_error(table, OURS, seed=0)
    whole = lost[lost.objects == "all"].set_index("lost by").IoU
    means = table.groupby("row").iou.mean()
    assert whole.sum() == pytest.approx(means["floor"] - means[OURS])
    assert whole["the image model"] == pytest.approx(0.25)


def test_extremes_are_the_largest_wins_then_the_largest_losses() -> None:
    table = scores(np.random.default_rng(0), 0.0)
    ours = table.row == OURS
    table.loc[ours, "iou"] += np.linspace(-1, 1, 12)
    assert generalisation.extremes(table, OURS, "retrieval", 2) == ["obj_0011", "obj_0010", "obj_0001", "obj_0000"]
    assert len(generalisation.extremes(table, OURS, "retrieval", 40)) == 12
    one = table[table["shape"] == "obj_0003"]
    assert generalisation.extremes(one, OURS, "retrieval", 4) == ["obj_0003"]


def swept(exponent: float) -> pd.DataFrame:
    """Scores of a sweep of three counts and seeds whose errors follow a law; one seed lacks a count."""
    rng, lines = np.random.default_rng(4), []
    for count in (20, 64, 128):
        for seed in range(4):
            for shape in range(6) if (count, seed) != (64, 3) else ():
                error = 3.0 * count**exponent * np.exp(rng.normal(0, 0.02))
                lines += [
                    {"row": OURS, "shape": shape, "shapes": count, "seed": seed, "chamfer_l1": error, "iou": 1 / error}
                ]
                lines += [
                    {"row": "retrieval", "shape": shape, "shapes": count, "seed": seed, "chamfer_l1": 1.0, "iou": 0.1}
                ]
    return pd.DataFrame(lines)


def test_a_sweep_is_read_without_its_holes() -> None:
    counts, values = shape_count.per_count(swept(-0.3), OURS, "chamfer_l1")
    assert counts == [20, 64, 128] and values.shape == (3, 3, 6)
    assert values.mean((1, 2)) == pytest.approx(3.0 * np.array(counts) ** -0.3, rel=0.02)
    with pytest.raises(Failed, match="0 seeds of the sweep have every count"):
        shape_count.per_count(swept(-0.3), "oracle", "chamfer_l1")
    table = swept(-0.3)
    assert shape_count.enough(table) and not shape_count.enough(table[table.seed > 1])
    assert not shape_count.enough(table[table.shapes > 20])
    assert not shape_count.enough(table[table["shape"] == table["shape"].iloc[0]])


def test_what_more_shapes_buy_is_found() -> None:
    table = swept(-0.3)
    laws = shape_count.fitted_laws(table, [OURS])
    line = shape_count.law_table(laws).iloc[0]
    assert line.exponent == pytest.approx(-0.3, abs=0.02) and line.low < line.exponent < line.high < -0.2
    assert line["at 976 shapes"] == pytest.approx(3.0 * 976**-0.3, rel=0.05)
    assert shape_count.nearer_with_more(table, OURS).low > 0
    flat = shape_count.nearer_with_more(swept(0.0), OURS)
    assert flat.low < 0 < flat.high
    gains = shape_count.gains(table, OURS, "retrieval")
    assert gains["shapes ahead"].to_list() == [6, 6, 6] and (gains.low > 0).all()
    lines = shape_count.drawn_out(laws, [20, 64, 128])
    assert lines["training shapes"].max() == pytest.approx(976) and (lines.low < lines.high).all()


def test_two_counts_make_no_law() -> None:
    table = swept(-0.3)
    with pytest.raises(Failed, match="three counts or more"):
        shape_count.fitted_laws(table[table.shapes < 128], [OURS])
