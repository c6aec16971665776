# %% [markdown]
# # Would depth and normals help?
#
# **Idea.** The thesis expects its image model to answer better if it is told depth or surface normals beside the
# colours of its views. Before anyone trains an estimator of them, there is an upper bound: tell it the *true* ones.
#
# **What would refute it:** a gain on colours alone, over unseen shapes, whose interval is not wholly above zero,
# although nothing had to be estimated. Negative control: the same colours told twice, as wide an input that says
# nothing new. Positive control: the training shape nearest by surface, an answer that does know the geometry.

# %% tags=["parameters"]
profile = "laptop"
data = "procedural"
artifacts = ""
report = ""
views = 16
width = 384
layers = 4
heads = 6
batch = 64
rate = 5.0e-4
steps = 1200
ema = 0.995
scored = 6
resolution = 64
surface_points = 10000
volume_points = 50000
seed = 0

# %%
import numpy as np
import pandas as pd
import torch

from flowsdf.data import artefacts, features
from flowsdf.geometry.camera import fibonacci_sphere
from flowsdf.report import figures, results, score_figures
from flowsdf.studies import conditioning, deepsdf, generalisation, image_to_latent, scoring
from flowsdf.studies import unseen as study
from flowsdf.train import checkpoint, fits

chapter = results.open_chapter("13_conditioning", globals())
folder, store = chapter.artifacts_of("00_data"), chapter.artifacts / "fits"
tensors, facts = checkpoint.read(chapter.artifacts_of("11_deepsdf") / "all.safetensors")
decoder, codes = deepsdf.restore(tensors)
train = artefacts.usable_shapes(folder, "train")[: len(codes)]
splits = ("held_out_shape", "held_out_category", "special")
held = [e for split in splits for e in artefacts.usable_shapes(folder, split)[: scored or None]]
objects = held or train[:4]
if not held:
    results.say(chapter, "**No shape of so small a set is held out: what follows are training shapes.**")
every, most = [*train, *objects], min(8, views)
encoder = features.load_encoder()
chosen = sorted(np.random.default_rng(seed).permutation(64)[:views].tolist())
cameras = torch.tensor(fibonacci_sphere(64), dtype=torch.float32)[chosen]
results.record_metrics(chapter, {"training_shapes": len(train), "unseen_shapes": len(held)})
results.record_metrics(chapter, {"views_kept": views, "views_told": most})

# %% [markdown]
# ## What the models are told
#
# Of the same views: their colours, and the true depth and normals of every pixel. Those are shown to the image encoder
# as pictures, which it never saw in training; so that its ignorance is not mistaken for the idea's, one model is given
# a depth map of 16 x 16 pixels as it is.

# %%
keys = {f"mesh of {e.name}": e.stages["watertight"].key for e in every} | {"encoder": encoder.sha256}
numbers = {"chosen": chosen, "of": 64}
told = fits.fit(
    conditioning.geometry_features, folder, every, store=store, name="geometry", parameters=numbers, inputs=keys
)
colours = torch.as_tensor(artefacts.read_features(folder, every))[:, chosen]
given = conditioning.conditions(colours, told.tensors)
shown = conditioning.pictures(folder, objects[:4], view=chosen[0], of=64)
titles = [f"{e.category}: {kind}" for e in objects[:4] for kind in ("colours", "depth", "normals")]
figure = figures.image_grid(shown, titles, columns=3, size=1.6)
results.save_figure(
    chapter, figure, "told", caption="One view of four unseen objects, and what it does not say outright."
)

# %% [markdown]
# ## Do they answer better?
#
# The decoder and its codes are those of the chapter on DeepSDF, the network and its training the same for all; only the
# views' features differ. Each answers from one view and from eight.

# %%
settings = {"deterministic": False, "width": width, "layers": layers, "heads": heads, "seed": seed}
settings |= {"steps": steps, "batch": batch, "rate": rate, "ema": ema}
inputs = keys | {"decoder": facts["fingerprint"]} | {f"features of {e.name}": e.stages["features"].key for e in every}
count = len(train)
inputs |= {"geometry": told.facts["fingerprint"]}
jobs = {
    name: fits.Job(image_to_latent.fit_predictor, (codes.cpu(), seen[:count], cameras), settings, inputs)
    for name, seen in given.items()
}
fitted = fits.fit_all(jobs, store=store)
predictors = {name: image_to_latent.restore_predictor(fit.tensors, heads=heads) for name, fit in fitted.items()}
counts = {"1 view": 1, f"{most} views": most}
coded = {"mean latent": codes.mean(0, keepdim=True)}
for name, predictor in predictors.items():
    several = generalisation.by_views(predictor, given[name][count:], cameras, list(counts.values()), seed=seed)
    coded |= dict(zip([f"{name}, {label}" for label in counts], several.values(), strict=True))
distances = scoring.cloud_distances(scoring.clouds(folder, objects), scoring.clouds(folder, train))
shown = study.inputs(colours[count:], cameras, views=most, seed=seed).several
choices = study.training_choices(shown, colours[:count], distances, seed=seed)
rows = study.answers(decoder, coded, choices, folder, train, objects, resolution=resolution)
drawn = {"surface_points": surface_points, "volume_points": volume_points}
scores = scoring.score_rows(rows, folder, objects, **drawn)

# %%
figure = score_figures.ranges(scores, x="iou", y="row", hue="split")
caption = "IoU with the truth: means over shapes with 95 % intervals (Student's t). Further right is better."
results.save_figure(chapter, figure, "rows", caption=caption, key=True)

# %%
others = ["oracle", "mean latent", "retrieval"]
gained = conditioning.gains(scores, list(given), others, list(counts), seed=seed)
caption = "IoU gained on colours alone with as many views, on the same unseen shapes; 95 % intervals over shapes."
results.save_table(chapter, gained, "gains", caption=caption)
caption = f"{len(objects)} objects: means over shapes, bootstrap 95 % intervals."
results.save_table(chapter, scoring.summary(scores), "summary", caption=caption)

# %% [markdown]
# ## Does the information arrive?
#
# A network that learned its training shapes better from what it is told has read it; whether that serves shapes it
# never saw is another matter.

# %%
recalled = conditioning.recalled(predictors, given, cameras, codes, views=most, seed=seed)
read = [(name, fitted[name].facts["loss"], *generalisation.interval(own, seed=seed)) for name, own in recalled.items()]
table = pd.DataFrame(read, columns=["told", "training loss", "recall cosine", "low", "high"])
caption = f"{len(train)} training shapes: the loss at the end, and the cosine of recalled codes to their own."
results.save_table(chapter, table, "recall", caption=caption)

# %% [markdown]
# ## The answer

# %%
at = gained.set_index(["views", "told"])
names = {"again": "colours again", "depth": "with depth", "normals": "with normals", "coarse": "with coarse depth"}
names |= {"oracle": "oracle", "mean": "mean latent"}
if len(held) > 1:
    for name, row in names.items():
        for label, word in {"1 view": "one", f"{most} views": "several"}.items():
            values = {"gain": at.gain[label, row], "low": at.low[label, row], "high": at.high[label, row]}
            results.record_metrics(chapter, {f"{name}_{word}_{k}": v for k, v in values.items()})
            results.record_metrics(chapter, {f"{name}_{word}_helps": float(values["low"] > 0)})
    results.record_metrics(chapter, {"colours_several_iou": at["colours alone"][f"{most} views", "oracle"]})
    helped = [row for row in given if row != "colours" and at.low[f"{most} views", row] > 0]
    word = f"**Helped: {', '.join(helped)}**" if helped else "**Nothing told beside the colours helps beyond doubt**"
    results.say(
        chapter,
        f"{word}. On the {{colours_several_iou:.3f}} IoU of colours alone with {{views_told}} views, true depth "
        "gains "
        "{depth_several_gain:.3f} [{depth_several_low:.3f}, {depth_several_high:.3f}], true normals "
        "{normals_several_gain:.3f} [{normals_several_low:.3f}, {normals_several_high:.3f}], a depth map as it is "
        "{coarse_several_gain:.3f} [{coarse_several_low:.3f}, {coarse_several_high:.3f}], the same colours again "
        "{again_several_gain:.3f} [{again_several_low:.3f}, {again_several_high:.3f}]; from one view "
        "{depth_one_gain:.3f}, {normals_one_gain:.3f}, {coarse_one_gain:.3f} and {again_one_gain:.3f}.",
    )

# %%
results.save_table(chapter, scores, "scores", caption="Every score of every object and row.")
results.record_claims(chapter, ["G3"] if len(held) > 1 else [])
results.finish(chapter, encoder=encoder.name, encoder_hash=encoder.sha256, inputs=inputs)
