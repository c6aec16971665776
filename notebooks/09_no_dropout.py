# %% [markdown]
# # Without dropped conditions, and what all four phases show
#
# **Claim.** Training that never drops the views or their poses collapses as well, with the loss of the phase before:
# what is left as a cause is the cloud of weights itself.
#
# **What would refute it:** answers that follow their views only once nothing is dropped; or, over all four phases,
# answers that follow them anyhow, so that there is no collapse to explain.

# %% tags=["parameters"]
profile = "laptop"
data = "procedural"
artifacts = ""
report = ""
heads = 6
layers = 4
width = 192
ema = 0.99
rate = 3.0e-4
steps = 900
batch = 16
resolution = 64
decoded = 8
points_per_step = 256
code_dim = 64
rank = 16
seed = 0

# %%
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt

from flowsdf.data import artefacts
from flowsdf.evaluation import baselines, collapse
from flowsdf.report import figures, results
from flowsdf.studies import deepsdf, image_to_latent, modulations, weight_answers, weight_diffusion, weight_shapes
from flowsdf.studies.weight_diffusion import PHASES, switches
from flowsdf.train import checkpoint, fits

chapter = results.open_chapter("09_no_dropout", globals())
prepared, store = chapter.artifacts_of("00_data"), chapter.artifacts / "fits"
shapes = weight_shapes.shapes_of(prepared, chapter.artifacts_of("01_pershape"))
setup = PHASES["09"]
assert switches(PHASES["07"], setup) == ["dropout"]

# %% [markdown]
# ## From both phases before
#
# One text of the thesis calls this an ablation of the seventh phase, another compares its loss with the eighth's: it is
# run from both, with standardised weights and with raw ones.

# %%
raw = PHASES["08"]._replace(dropout=False)
assert switches(PHASES["08"], raw) == ["dropout"]
numbers = {"steps": steps, "batch": batch, "width": width, "layers": layers, "heads": heads}
numbers |= {"rate": rate, "ema": ema, "seed": seed}
runs = {"nothing dropped": setup, "nothing dropped, raw": raw}
jobs = {name: weight_shapes.job(shapes, numbers | of._asdict()) for name, of in runs.items()}
fitted = fits.fit_all(jobs, store=store)
models, given, codes = weight_answers.answers(fitted, shapes, heads=heads, views=setup.views, seed=seed)
figure = figures.losses({name: fit.facts["curve"] for name, fit in fitted.items()})
results.save_figure(chapter, figure, "loss", caption="Moving average of the training loss, each in its own units.")

# %%
ranking, facts = weight_answers.judged(codes, shapes, prepared, decoded=decoded, resolution=resolution)
results.save_table(chapter, facts, "collapse", caption="Collapse, spread and direction with nothing dropped.")
results.save_table(chapter, ranking, "ranking", caption="Where the own shape ranks, three ways.")
by = facts.set_index("run")
told = by.loc["nothing dropped"]
results.record_metrics(
    chapter,
    {"no_dropout_collapsed": told.collapsed, "no_dropout_raw_collapsed": by.collapsed["nothing dropped, raw"]}
    | {"no_dropout_direction": told.direction, "no_dropout_spread": told.spread}
    | weight_answers.controls(shapes, seed=seed),
)

# %% [markdown]
# ## Collapse, noise, or something else?
#
# All phases on one figure, on the same images. *Attractors* is the share of images for which one of the same four
# shapes ranks first by cosine, the thesis's sign of collapse. *Own* is the share for which the shape itself is first,
# once the mean of all weights is subtracted. A network that was trained on the wrong images cannot reach it by merit.

# %%
everything = {"09 nothing dropped": codes["nothing dropped"]}
for phase, name in {"06_image_cond_weights": "06", "07_multiview_cond": "07", "08_no_standardization": "08"}.items():
    stored, _ = checkpoint.read(chapter.artifacts_of(phase) / "answers.safetensors")
    everything |= {f"{name} {run}": of for run, of in stored.items()}
training, own = shapes.vectors.numpy(), np.arange(len(shapes.vectors))
lines = [
    {"run": name}
    | collapse.collapse(of.numpy(), training, own)
    | collapse.following(of.numpy(), training, own)
    | {"reading": collapse.reading(of.numpy(), training, own)}
    | {"IoU": weight_answers.field_ious(of, shapes.vectors, shapes).mean()}
    for name, of in sorted(everything.items())
]
table = pd.DataFrame(lines)
results.save_table(chapter, table, "phases", caption="Every run of the four phases, on the training images.")
long = table.melt("run", ["attractor_share", "own"], "measure", "share of images")
long["measure"] = long.measure.map({"attractor_share": "attractors", "own": "own, less the mean"})
figure, axes = plt.subplots(figsize=(7, 0.45 * len(table) + 1))
sns.barplot(long, y="run", x="share of images", hue="measure", ax=axes)
axes.set_ylabel("")
results.save_figure(chapter, figure, "phases", caption="What ranks first, with the mean and without it.", key=True)

# %% [markdown]
# ## Two repairs
#
# The same network with another loss: not how far the weights are, but how far the field is that they make. And the same
# loss on other codes: every decoder is one anchor with low-rank changes, which a short code scales, so that what the
# network has to say is short, and nothing that it says is idle. Success is measured on the field: the mean IoU of the
# decoded answer with the shape's own decoder; the mean of all weights is the null, retrieval by feature the rival.

# %%
points, sdf = deepsdf.as_tensors(*artefacts.read_samples(prepared, shapes.entries))
anchor = shapes.vectors[:1]
given_field = {"size": shapes.size, "points_per_step": points_per_step}
free = numbers | {"views": setup.views} | given_field
data_of = (shapes.vectors, shapes.features, shapes.cameras, points, sdf)
short = given_field | {"code_dim": code_dim, "rank": rank, "steps": steps, "rate": 1.0e-3, "seed": seed}
repairs = fits.fit_all(
    {
        "field loss": fits.Job(weight_diffusion.fit_weights_by_field, data_of, free, shapes.keys),
        "modulations": fits.Job(modulations.fit_modulations, (points, sdf, anchor), short, shapes.keys),
    },
    store=store,
)
modulated = repairs["modulations"].tensors
latent = fits.fit(
    image_to_latent.fit_predictor,
    modulated["codes"],
    shapes.features,
    shapes.cameras,
    store=store,
    name="modulation codes",
    parameters=numbers | {"deterministic": False},
    inputs=shapes.keys | {"codes": repairs["modulations"].facts["fingerprint"]},
)
figure = figures.losses({n: f.facts["curve"] for n, f in (repairs | {"codes from views": latent}).items()})
results.save_figure(chapter, figure, "repairs_loss", caption="Training losses of the repairs, each in its own units.")

# %%
by_field = {"field loss": repairs["field loss"]}
_, given, answered = weight_answers.answers(by_field, shapes, heads=heads, views=setup.views, seed=seed)
short_codes = image_to_latent.predict(image_to_latent.restore_predictor(latent.tensors, heads=heads), given, seed=seed)
decode = modulations.restore(modulated, size=shapes.size)
answered |= {"modulated anchor": decode(short_codes.cpu()), "modulated anchor, best code": modulated["vectors"]}
near = baselines.retrieved_shape(given.features.mean(1).numpy(), shapes.features.mean(1).numpy())
answered |= {"retrieval": shapes.vectors[near], "mean of all": shapes.vectors.mean(0).expand_as(shapes.vectors)}
answered |= {"weights": codes["nothing dropped"]}
ious = {name: weight_answers.field_ious(of, shapes.vectors, shapes) for name, of in answered.items()}
long = pd.DataFrame({"answers": name, "IoU": float(v)} for name, of in ious.items() for v in of)
results.save_table(
    chapter,
    long.groupby("answers", sort=False).IoU.describe().reset_index(),
    "repairs",
    caption="IoU of decoded answers with the own decoders, over training shapes.",
)
figure, axes = plt.subplots(figsize=(6, 3))
sns.stripplot(long, y="answers", x="IoU", ax=axes, alpha=0.5)
sns.pointplot(long, y="answers", x="IoU", ax=axes, linestyle="none", color="black", errorbar=("ci", 95), seed=0)
axes.set_ylabel("")
caption = "What turns the failure into success: every shape, and the mean with its bootstrap 95 % interval."
results.save_figure(chapter, figure, "repairs", caption=caption, key=True)
results.record_metrics(
    chapter,
    {f"iou_{name.replace(' ', '_').replace(',', '')}": float(of.mean()) for name, of in ious.items()},
)

# %%
chosen = [int(i) for i in np.linspace(0, len(own) - 1, min(4, len(own)))]
rows = {"own decoder": shapes.vectors} | {n: answered[n] for n in ("weights", "field loss", "modulated anchor")}
titles = [f"{name}: {shapes.entries[i].category}" for name in rows for i in chosen]
drawn = weight_answers.meshes(rows, shapes, chosen, resolution)
figure = figures.mesh_grid(drawn, titles, columns=len(chosen), size=2)
results.save_figure(chapter, figure, "meshes", caption="Decoded answers before and after the repairs.", key=True)

# %%
results.record_claims(chapter, ["W10"])
results.finish(chapter, inputs=shapes.keys)
