# %% [markdown]
# # More views: does that cure it?
#
# **Claim.** With one to eight posed views of an object instead of one, the predicted weights collapse as before.
#
# **What would refute it:** answers that rank their own shape first with eight views where they did not with one, from a
# network that differs in nothing else.

# %% tags=["parameters"]
profile = "laptop"
data = "procedural"
artifacts = ""
report = ""
ranked_resolution = 32
width = 192
layers = 4
heads = 6
batch = 16
steps = 480
rate = 1.0e-3
ema = 0.99
most = 0
seed = 0

# %%
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt

from flowsdf.evaluation import collapse, diagnostics
from flowsdf.report import figures, results
from flowsdf.studies import image_to_latent, unseen, weight_answers, weight_samples, weight_shapes
from flowsdf.studies.weight_diffusion import PHASES, switches
from flowsdf.train import checkpoint, fits

chapter = results.open_chapter("07_multiview_cond", globals())
prepared = chapter.artifacts_of("00_data")
shapes = weight_shapes.shapes_of(prepared, chapter.artifacts_of("01_pershape"), most=most)
setup = PHASES["07"]
assert switches(PHASES["06"], setup) == ["views"]

# %% [markdown]
# ## One switch
#
# The setup is that of the chapter before, but for the views: up to eight in training, each a token of its feature and
# its pose. The network of that chapter, which has one, stands beside it.

# %%
settings = {"width": width, "layers": layers, "heads": heads, "rate": rate, "batch": batch, "steps": steps, "ema": ema}
settings |= setup._asdict() | {"seed": seed}
fitted = fits.fit_all({"several views": weight_shapes.job(shapes, settings)}, store=chapter.artifacts / "fits")
figure = figures.losses({name: fit.facts["curve"] for name, fit in fitted.items()})
results.save_figure(chapter, figure, "loss", caption="Moving average of the training loss; the mean of all has one.")

# %%
models, given, codes = weight_answers.answers(fitted, shapes, heads=heads, views=setup.views, seed=seed)
checkpoint.write(chapter.artifacts / "answers.safetensors", {k: v.contiguous() for k, v in codes.items()}, {})
codes["one view"] = checkpoint.read(chapter.artifacts_of("06_image_cond_weights") / "answers.safetensors")[0][
    "one view"
]
ranking, facts = weight_answers.judged(codes, shapes, prepared, resolution=ranked_resolution)
facts = facts.merge(weight_samples.strengths(models, given, seed=seed), how="left")
caption = "Eight views of every training shape: collapse, and how far answers spread and in which direction."
results.save_table(chapter, facts, "collapse", caption=caption)
results.save_table(chapter, ranking, "ranking", caption="Where the own shape ranks, three ways.")
times = weight_answers.by_times(models, shapes, given, seed=seed)
results.save_table(chapter, times, "by_time", caption="The x0 loss by timestep, with right and with wrong views.")
told, before = (facts.set_index("run").loc[name] for name in ("several views", "one view"))
trivial = ranking.set_index(["run", "ranking"]).recall_mean["several views", "cosine, null"]
results.record_metrics(
    chapter,
    {"multiview_collapsed": told.collapsed, "multiview_direction": told.direction, "multiview_spread": told.spread}
    | {"multiview_to_target": told.to_target, "multiview_to_attractors": told.to_attractors}
    | {"mean_to_target": trivial, "own_before": before.own}
    | weight_answers.controls(shapes, seed=seed),
)
results.say(
    chapter,
    "The cosine to the target is {multiview_to_target:.4f}, that of the mean of all weights {mean_to_target:.4f}, to "
    "those that rank first most often {multiview_to_attractors:.4f}; answers spread {multiview_spread:.2f} as far as "
    f"the truth, and less the mean their cosine to the target is {{multiview_direction:.3f}}: they are read as "
    f"{told.kind}.",
)

# %% [markdown]
# ## The number of views
#
# The same network, asked with one view and with more: the cosine to the target less the mean, and the share of shapes
# whose own weights are first by it.

# %%
lines, own, training = [], np.arange(len(shapes.vectors)), shapes.vectors.numpy()
directions = []
for count in (1, 2, 4, 8):
    asked = unseen.inputs(shapes.features, shapes.cameras, views=count, seed=seed).several
    of = image_to_latent.predict(models["several views"], asked, seed=seed).cpu().numpy()
    lines.append({"run": "several views", "views": count} | collapse.following(of, training, own))
    towards = diagnostics.centred_cosine(of, training)[own, own]
    directions.append(pd.DataFrame({"views": count, "cosine": towards}))
table = pd.DataFrame(lines)
results.save_table(chapter, table, "views", caption="By the number of views.")
results.record_metrics(chapter, {f"own_by_{line['views']}": line["own"] for line in lines})
results.say(
    chapter,
    "Less the mean, the own shape ranks first for {own_before:.0%} of the pictures by the network that learned with "
    "one view; by this one for {own_by_1:.0%} when it is asked with one and {own_by_8:.0%} with eight.",
)
figure, axes = plt.subplots(figsize=(5, 3))
long = pd.concat(directions)
sns.pointplot(long, x="views", y="cosine", errorbar=("ci", 95), seed=0, native_scale=True, ax=axes)
axes.axhline(0, color="gray", linestyle="--", linewidth=1)
axes.set_ylabel("cosine to the target, less the mean")
caption = "What more views add, with 95 % intervals over shapes; an answer that points to its target has 1."
results.save_figure(chapter, figure, "views", caption=caption, key=True)

# %%
results.record_claims(chapter, ["W8"])
results.finish(chapter, encoder=True, inputs=shapes.keys)
