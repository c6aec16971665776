# %% [markdown]
# # Would depth help?
#
# **Idea.** The thesis expects its image model to answer better if it is told depth or surface normals beside the
# colours of its views. Before anyone trains an estimator of them, there is an upper bound: tell it the *true* ones.
# Where those help, an estimate from the same colours is tried.
#
# **What would refute it:** a gain over unseen shapes whose interval is not wholly above zero. A map of depth is also a
# second look at the outline, so it is held against the *brightness* of the same view as a map of the same size, which
# is no news. Negative control: the colours told twice. Positive control: codes found with the truth in hand.
#
# **What was known before.** A first run on 15 of these unseen shapes held five kinds of telling against colours alone.
# Of three tests one fired, that of the map, and its positive control, the nearest training shape, was not
# better than the model itself. So the claims were declared anew, before this run: one test each, the stricter
# comparison, another control, and all unseen shapes there are.

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
head_steps = 2000
head_batch = 4096
head_rate = 1.0e-3
latent_steps = 60
scored = 0
resolution = 64
surface_points = 10000
volume_points = 50000
seed = 0

# %%
import numpy as np
import pandas as pd
import torch

from flowsdf.data import artefacts, encoders
from flowsdf.evaluation.detectors import OPEN
from flowsdf.evaluation.few_values import shapes_interval
from flowsdf.evaluation.loss_curve import end_loss
from flowsdf.geometry.camera import fibonacci_sphere
from flowsdf.report import figures, results, score_figures
from flowsdf.studies import conditioning, deepsdf, depth_estimate, generalisation, image_to_latent, scoring
from flowsdf.studies import unseen as study
from flowsdf.studies.gains import gain_metrics, gains, recalled_codes
from flowsdf.studies.latent_fit import fit_latents
from flowsdf.train import checkpoint, fits

chapter = results.open_chapter("13b_conditioning", globals())
folder, store = chapter.artifacts_of("00_data"), chapter.artifacts / "fits"
tensors, facts = checkpoint.read(chapter.artifacts_of("11_deepsdf") / "all.safetensors")
decoder, codes = deepsdf.restore(tensors)
train = artefacts.usable_shapes(folder, "train")[: len(codes)]
splits = ("held_out_shape", "held_out_category", "special")
held = [e for split in splits for e in artefacts.usable_shapes(folder, split)[: scored or None]]
objects = held or train[:4]
if not held:
    results.say(chapter, "**No shape of so small a set is held out: what follows are training shapes.**")
every, most, count = [*train, *objects], min(8, views), len(train)
chosen = sorted(np.random.default_rng(seed).permutation(64)[:views].tolist())
cameras = torch.tensor(fibonacci_sphere(64), dtype=torch.float32)[chosen]
results.record_metrics(chapter, {"training_shapes": count, "unseen_shapes": len(held)})
results.record_metrics(chapter, {"views_kept": views, "views_told": most})

# %% [markdown]
# ## What the models are told
#
# Of the same views: their colours, and the true depth and normals of every pixel. Those are shown to the image encoder
# as pictures, which it never saw in training; so that its ignorance is not mistaken for the idea's, one model is given
# a depth map of 16 x 16 pixels as it is, and one the brightness of the view as such a map.

# %%
keys = {f"mesh of {e.name}": e.stages["watertight"].key for e in every} | {"encoder": encoders.encoder_key()}
keys |= {f"views of {e.name}": e.stages["views"].key for e in every}
numbers = {"chosen": chosen, "of": 64}
told = fits.fit(
    conditioning.geometry_features, folder, every, store=store, name="geometry", parameters=numbers, inputs=keys
)
shown = conditioning.pictures(folder, objects[:4], view=chosen[0], of=64)
titles = [f"{e.category}: {kind}" for e in objects[:4] for kind in ("colours", "depth", "normals")]
figure = figures.image_grid(shown, titles, columns=3, size=1.6)
results.save_figure(
    chapter, figure, "told", caption="One view of four unseen objects, and what it does not say outright."
)

# %% [markdown]
# ## Depth, estimated
#
# A small network says the 16 x 16 depths from what the frozen encoder makes of each patch of the view. There are two,
# each trained on half of the training shapes, and a shape is told by the one that never saw it: so the image model
# learns from estimates that are as wrong as those it will be given.

# %%
true = told.tensors["coarse depth"]
numbers = {"chosen": chosen, "training": count, "steps": head_steps, "batch": head_batch, "rate": head_rate}
guess = fits.fit(
    depth_estimate.estimated_depth,
    folder,
    every,
    true,
    store=store,
    name="depth",
    parameters=numbers | {"seed": seed},
    inputs=keys | {"geometry": told.facts["fingerprint"]},
)
guessed = guess.tensors["estimated depth"]
mean = true[:count].mean((0, 1), keepdim=True)
lines = []
for who, part in {"training shapes": slice(count), "unseen shapes": slice(count, None)}.items():
    for what, maps in {"estimate": guessed, "mean map": mean.expand_as(true)}.items():
        error = depth_estimate.map_errors(maps[part], true[part])
        lines.append((who, what, len(error), *shapes_interval(error, seed=seed)))
errors = pd.DataFrame(lines, columns=["of", "maps", "n", "error", "low", "high"])
caption = "Root mean square error of 16 x 16 depths (the object's radius is 1, the ground -1); 95 % over shapes."
results.save_table(chapter, errors, "estimate", caption=caption)
results.record_metrics(chapter, {"depth_error": errors.error[2], "mean_map_error": errors.error[3]})
maps = [conditioning.as_grey(m[count + i, 0]) for i in range(len(objects[:4])) for m in (true, guessed)]
titles = [f"{e.category}: {kind}" for e in objects[:4] for kind in ("true", "estimated")]
figure = figures.image_grid(maps, titles, columns=4, size=1.6)
results.save_figure(
    chapter, figure, "estimate", caption="Depth of one view of four unseen objects: nearer is brighter."
)

# %% [markdown]
# ## Do they answer better?
#
# The decoder and its codes are those of the chapter on DeepSDF, the network and its training the same for all; only the
# views' features differ. Scores take fewer points and a coarser grid than chapter `13`'s, which Chamfer-L1 and the
# floor feel: rows of one table can be compared, those of two pages cannot.

# %%
settings = {"deterministic": False, "width": width, "layers": layers, "heads": heads, "seed": seed}
settings |= {"steps": steps, "batch": batch, "rate": rate, "ema": ema}
inputs = keys | {"decoder": facts["fingerprint"]} | {f"features of {e.name}": e.stages["features"].key for e in every}
inputs |= {"geometry": told.facts["fingerprint"], "depth": guess.facts["fingerprint"]}
colours = torch.as_tensor(artefacts.read_features(folder, every))[:, chosen]
given = conditioning.conditions(colours, told.tensors | guess.tensors)
jobs = {
    name: fits.Job(
        image_to_latent.fit_predictor, (codes.cpu(), seen[:count], cameras), settings, inputs | {"told": name}
    )
    for name, seen in given.items()
}
fitted = fits.fit_all(jobs, store=store)
predictors = {name: image_to_latent.restore_predictor(fit.tensors, heads=heads) for name, fit in fitted.items()}
numbers = {"steps": latent_steps, "seed": seed}
data_of = tensors, *deepsdf.as_tensors(*artefacts.read_samples(folder, objects))
sampled = {"decoder": facts["fingerprint"]} | {e.name: e.stages["sdf"].key for e in objects}
best = fits.fit(fit_latents, *data_of, store=store, name="best", parameters=numbers, inputs=sampled)
coded = {"mean latent": codes.mean(0, keepdim=True), "fitted latent": best.tensors["latents"].to(codes.device)}
for name, predictor in predictors.items():
    answer = generalisation.by_views(predictor, given[name][count:], cameras, [most], seed=seed)
    coded[name] = answer[generalisation.views_row(most)]
distances = scoring.cloud_distances(scoring.clouds(folder, objects), scoring.clouds(folder, train))
shown = study.inputs(colours[count:], cameras, views=most, seed=seed)
choices = study.training_choices(shown, colours[:count], distances, seed=seed)
rows = study.answers(decoder, coded, choices, folder, train, objects, resolution=resolution)
drawn = {"surface_points": surface_points, "volume_points": volume_points}
scores = scoring.score_rows(rows, folder, objects, **drawn)

# %%
figure = score_figures.ranges(scores, x="iou", y="row", hue="split")
caption = "IoU: light dots are objects (in brackets how many), dark ones means, lines 95 % limits, cut at the edge."
results.save_figure(chapter, figure, "rows", caption=caption, key=True)

# %%
others = ["fitted latent", "oracle", "retrieval", "mean latent"]
plain = gains(scores, [*(name for name in given if name != "colours"), *others], "colours", seed=seed)
strict = ["with coarse depth", "with estimated depth", "fitted latent"]
strict = gains(scores, strict, "with coarse colours", seed=seed)
caption = "IoU gained on the row of the second column, on the same unseen shapes; 95 % intervals over shapes."
results.save_table(chapter, pd.concat([strict, plain], ignore_index=True), "gains", caption=caption)
caption = f"{len(objects)} objects: means over shapes, 95 % intervals."
results.save_table(chapter, scoring.summary(scores), "summary", caption=caption)

# %% [markdown]
# ## Does the information arrive?
#
# A network that learned its training shapes better from what it is told has read it; whether that serves shapes it
# never saw is another matter.

# %%
recalled = recalled_codes(predictors, given, cameras, codes, views=most, seed=seed)
loss = {name: end_loss(fit.facts["curve"], decay=image_to_latent.LOSS_DECAY) for name, fit in fitted.items()}
read = [(name, loss[name], *shapes_interval(own, seed=seed)) for name, own in recalled.items()]
table = pd.DataFrame(read, columns=["told", "training loss", "recall cosine", "low", "high"])
caption = f"{count} training shapes: the loss at the end, and the cosine of recalled codes to their own."
results.save_table(chapter, table, "recall", caption=caption)

# %% [markdown]
# ## The answer

# %%
tested = {"depth": "with coarse depth", "estimate": "with estimated depth", "fitted": "fitted latent"}
loose = {"again": "colours again", "form": "with coarse colours", "pictured": "with depth", "normals": "with normals"}
if len(held) > 1:
    results.record_metrics(chapter, {"form_iou": strict.base[0], "colours_iou": plain.base[0]})
    helps = gain_metrics(strict, tested) | gain_metrics(plain, loose)
    results.record_metrics(chapter, helps)
    words = {1.0: "helps", 0.0: "does harm", OPEN: "has no certain gain"}
    word, then = words[helps["depth_helps"]], words[helps["estimate_helps"]]
    results.say(
        chapter,
        f"**True depth as a map {word}; depth estimated from the same views {then}.** On the {{form_iou:.3f}} IoU of "
        "the model told brightness in that form, with {views_told} views, true depth gains {depth_gain:.3f} "
        "[{depth_low:.3f}, {depth_high:.3f}], estimated depth {estimate_gain:.3f} [{estimate_low:.3f}, "
        "{estimate_high:.3f}], whose error is {depth_error:.3f} where the mean map's is {mean_map_error:.3f}. On the "
        "{colours_iou:.3f} of colours alone, brightness as a map gains {form_gain:.3f} [{form_low:.3f}, "
        "{form_high:.3f}], depth and normals as pictures {pictured_gain:.3f} [{pictured_low:.3f}, {pictured_high:.3f}] "
        "and {normals_gain:.3f} [{normals_low:.3f}, {normals_high:.3f}], the same colours again {again_gain:.3f} "
        "[{again_low:.3f}, {again_high:.3f}].",
    )

# %%
results.save_table(chapter, scores, "scores", caption="Every score of every object and row.")
results.record_claims(chapter, ["G3", "G5"] if len(held) > 1 else [])
results.finish(chapter, encoder=True, inputs=inputs)
