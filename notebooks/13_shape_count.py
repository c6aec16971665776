# %% [markdown]
# # How many shapes does it take?
#
# **Claim.** The thesis saw its image model retrieve training shapes when it had twenty, and give category-appropriate
# answers when it had 976, and put that down to the count. Then unseen shapes must be answered better the more shapes
# were learned from: smoothly, and by more than retrieval gains from the same shapes.
#
# **What would refute it:** an error that does not fall with the count, beyond what seeds and test shapes make it vary.
# Positive control: the training shape nearest by surface, which can only get nearer. Negative: one drawn blindly.
#
# The runs are those of `make sweep`: the chapter before this one, once for each count and seed, on the same unseen
# shapes; with as many steps whatever the count, and once more with as many epochs.

# %% tags=["parameters"]
profile = "laptop"
data = "procedural"
artifacts = ""
report = ""

# %%
import pandas as pd

from flowsdf.evaluation.detectors import above
from flowsdf.report import results, score_figures, sweep
from flowsdf.studies import generalisation, shape_count

chapter = results.open_chapter("13_shape_count", globals())
cells, scores, own, current = sweep.read(chapter.places, shape_count.enough)
done = cells[cells.state == "done"]
ours = generalisation.views_row(max(scores.row.str.extract(r"diffusion, (\d+)")[0].dropna().astype(int)))
fixed = scores[scores.budget == "fixed steps"]
counts = sorted(fixed.shapes.unique())
seeds = len(shape_count.per_count(fixed, ours, "iou")[1][0])
results.record_metrics(chapter, {"cells": len(cells), "cells_done": len(done), "seeds": seeds})
results.record_metrics(chapter, {"fewest_shapes": int(counts[0]), "most_shapes": int(counts[-1])})
results.record_metrics(chapter, {"outdated_cells": 0 if current else len(cells)})

# %%
published = f"published with the repository, at laptop size; this run has none of its own with {sweep.ENOUGH}"
origin = "of this run" if own else published
results.say(
    chapter,
    f"The sweep is {origin}: {{cells_done}} of {{cells}} cells done, {{seeds}} seeds with every count."
    + (
        ""
        if current
        else " **It was made by other code or from other data than there are now**, so the ledger does not judge by "
        "it; `make sweep` brings it up to date."
    ),
)
kept = ["shapes", "seed", "budget", "state", "seconds", "decoder_steps", "points_per_step", "predictor_steps"]
kept += ["resolution", "held_out_iou", "retrieval_iou", "fitted_latent_iou"]
caption = "Every run, a failed one with its reason. Seconds are without stored fits, steps those of the most shapes."
results.save_table(chapter, cells[[name for name in kept if name in cells]], "cells", caption=caption)

# %% [markdown]
# ## What it varies, and what it does not
#
# A count is the first so many training shapes; seeds change the networks and the views, not the shapes, so the
# intervals are over seeds and test shapes only. The image encoder is the same throughout, and has seen other shapes.
# The cells train for less long and are scored more coarsely than the chapters before, so that fifteen of them fit
# into two hours: compare them with one another, not with chapter 13. On the built-in shapes the first twenty cover
# twenty of forty-eight categories, those of the scored held-out shapes among them: more shapes bring more of these
# categories, not new ones.

# %% [markdown]
# ## The curve
#
# Chamfer-L1 of unseen shapes, ten times the mean distance in units of the bounding sphere, so lower is better. A line
# is a power law, fitted to the means; its band is a 95 % interval over seeds and test shapes (Student's $t$ for both,
# since there are few). Dashed, it is drawn out to the thesis's count: an extrapolation, not a measurement.

# %%
rows = [ours, "retrieval", "fitted latent", "oracle", "random shape"]
laws = shape_count.fitted_laws(fixed, rows)
points = shape_count.measured(fixed, rows)
lines = shape_count.drawn_out(laws, counts)
figure = score_figures.laws(points, lines, x="training shapes", y="chamfer_l1", hue="row")
caption = "Error on unseen shapes against the number of training shapes; dashed: extrapolated."
results.save_figure(chapter, figure, "curve", caption=caption, key=True)
results.save_table(chapter, points, "measured", caption="Means at fixed steps, intervals over seeds and test shapes.")
results.save_table(chapter, shape_count.law_table(laws), "laws", caption="Chamfer-L1 at fixed steps: a * count^b.")

# %% [markdown]
# ## As many epochs instead of as many steps
#
# At fixed steps a small set is seen more often. At fixed epochs it is trained for less long.

# %%
by_epochs = pd.concat([scores[scores.budget == "fixed epochs"], fixed[fixed.shapes == counts[-1]]])
if shape_count.enough(by_epochs):
    slower = shape_count.fitted_laws(by_epochs, [ours, "fitted latent"])
    results.save_table(chapter, shape_count.law_table(slower), "laws_epochs", caption="The same at fixed epochs.")
else:
    results.say(chapter, "The sweep has too few runs at fixed epochs for a law.")

# %% [markdown]
# ## Does it pull away from retrieval?

# %%
gained = shape_count.gains(fixed, ours, "retrieval")
caption = f"IoU of {ours} less that of retrieval, on the same unseen shapes, by training count."
results.save_table(chapter, gained, "gains", caption=caption)
table = shape_count.measured(fixed, [ours, "retrieval", "fitted latent", "floor"], score="iou")
results.save_table(chapter, table, "iou", caption="Mean IoU, intervals over seeds and test shapes.")

# %% [markdown]
# ## The answer

# %%
falls = {row: law.exponents() for row, law in laws.items()}
means = points.set_index(["row", "training shapes"]).chamfer_l1
nearer = {row: shape_count.nearer_with_more(fixed, row) for row in rows}
told = {"positive_control": "oracle", "negative_control": "random shape"}
results.record_metrics(
    chapter,
    {"fewest_cd": means[ours, counts[0]], "most_cd": means[ours, counts[-1]]}
    | {f"more_shapes_{name}": above(nearer[row].low, nearer[row].high) for name, row in told.items()}
    | {f"scaling_{name}": above(-falls[row].high, -falls[row].low) for name, row in told.items()}
    | {"more_shapes_nearer": above(nearer[ours].low, nearer[ours].high), "nearer_by": nearer[ours].estimate}
    | {"scaling_law_improves": above(-falls[ours].high, -falls[ours].low), "exponent": falls[ours].estimate}
    | {"nearer_by_low": nearer[ours].low, "nearer_by_high": nearer[ours].high}
    | {"exponent_low": falls[ours].low, "exponent_high": falls[ours].high, "gain_most": gained.iloc[-1, 1]}
    | {"gain_most_low": gained.low.iloc[-1], "gain_most_high": gained.high.iloc[-1]}
    | {"retrieval_exponent": falls["retrieval"].estimate, "fitted_exponent": falls["fitted latent"].estimate},
)
word = "falls" if falls[ours].high < 0 else "rises" if falls[ours].low > 0 else "cannot be told from flat"
results.say(
    chapter,
    f"**The error {word}**: exponent {{exponent:.3f}} [{{exponent_low:.3f}}, {{exponent_high:.3f}}] from "
    "{fewest_shapes} to {most_shapes} shapes, over {seeds} seeds; retrieval's {retrieval_exponent:.3f}, the best "
    "code's {fitted_exponent:.3f}. With {most_shapes} shapes the model gains {gain_most:.3f} [{gain_most_low:.3f}, "
    f"{{gain_most_high:.3f}}] IoU on retrieval. {len(counts)} counts, the largest {counts[-1] / counts[0]:.1f} times "
    "the smallest, say little about the form of a law.",
)
results.record_claims(chapter, ["L6", "G2"] if own and current else [])
results.finish(chapter, encoder=True)
