"""What a row gains on another: paired by shape, with its interval, and 1 or 0 for the ledger."""

import numpy as np
import pandas as pd

from flowsdf.studies.gains import gain_metrics, gains, paired_ends


def test_gains_are_paired_by_shape_and_on_the_base() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(0.2, 0.5, 9)
    rows = {"told": base + 0.1, "base": base, "oracle": base - rng.uniform(0.1, 0.2, 9)}
    scores = pd.DataFrame(
        {"row": row, "shape": f"obj_{i:04d}", "category": "c", "split": "s", "iou": value}
        for row, values in rows.items()
        for i, value in enumerate(values)
    )
    table = gains(scores, ["told", "oracle"], "base", seed=0)
    assert list(table.row) == ["told", "oracle"] and set(table.on) == {"base"} and list(table.ahead) == [9, 0]
    assert np.allclose(table.loc[0, ["gain", "low", "high"]].astype(float), 0.1) and table.high[1] < 0
    assert np.allclose(table.base, base.mean()) and np.isclose(table.iou[0], base.mean() + 0.1)
    found = gain_metrics(table, {"depth": "told", "best": "oracle"})
    assert found["depth_helps"] == 1 and found["best_helps"] == 0 and np.isclose(found["depth_gain"], 0.1)


def test_ends_are_compared_shape_by_shape() -> None:
    rng = np.random.default_rng(0)
    own = rng.uniform(0.3, 0.9, 20)
    after = {"own": own, "lower": own - 0.05, "same": own + rng.normal(0, 1e-3, 20)}
    table = paired_ends({name: np.zeros(20) for name in after}, after, "own", seed=0)
    assert np.isnan(table.gain["own"]) and np.allclose(table.loc["lower", ["gain", "low", "high"]].astype(float), 0.05)
    assert table.low["same"] < 0 < table.high["same"] and (table["IoU"] == 0).all()
    assert np.isclose(table["IoU after"]["lower"], own.mean() - 0.05)
