"""What models are told beside colours: the control says nothing new, and gains are paired with colours alone."""

import numpy as np
import pandas as pd
import torch

from flowsdf.studies import conditioning


def test_colours_again_are_as_wide_and_say_nothing_new() -> None:
    colours = torch.randn(3, 4, 8)
    given = conditioning.conditions(colours, {"depth": torch.randn(3, 4, 8), "coarse depth": torch.randn(3, 4, 2)})
    assert list(given) == ["colours", "colours again", "with depth", "with coarse depth"]
    assert torch.equal(given["colours again"], torch.cat((colours, colours), -1))
    assert given["with depth"].shape == given["colours again"].shape and given["with coarse depth"].shape[-1] == 10
    assert all(torch.equal(told[..., :8], colours) for told in given.values())


def test_gains_are_on_colours_alone_with_as_many_views() -> None:
    rng = np.random.default_rng(0)
    base = {"1 view": rng.uniform(0.2, 0.3, 9), "8 views": rng.uniform(0.4, 0.5, 9)}
    rows = {f"colours, {label}": iou for label, iou in base.items()}
    rows |= {f"with depth, {label}": iou + 0.1 for label, iou in base.items()} | {"oracle": base["8 views"] + 0.2}
    scores = pd.DataFrame(
        {"row": row, "shape": f"obj_{i:04d}", "category": "c", "split": "s", "iou": value}
        for row, values in rows.items()
        for i, value in enumerate(values)
    )
    table = conditioning.gains(scores, ["colours", "with depth"], ["oracle"], list(base), seed=0)
    found = table.set_index(["views", "told"])
    assert np.allclose([found.gain["1 view", "with depth"], found.gain["8 views", "with depth"]], 0.1)
    assert np.isclose(found.gain["8 views", "oracle"], 0.2) and (found.ahead == 9).all()
    assert np.allclose(found.low["8 views", "with depth"], 0.1) and len(table) == 4
