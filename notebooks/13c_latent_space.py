# %% [markdown]
# # A smoother space of codes?
#
# **Idea.** The thesis expects answers to unseen objects to be cleaner if the codes are regularised while the decoder
# learns them: by a divergence from a Gaussian, or by a loss on what lies between two codes. Codes of norm one, a
# normalised bottleneck, are a third way.
#
# **What would refute it:** a gain in IoU on the plain space, over unseen shapes, whose interval is not wholly above
# zero. Positive control: the training shape nearest by surface; negative: the mean code of the plain space.
#
# The decoders are of half the width and learn fewer shapes than those of the chapters before, so that four of them fit:
# compare them with one another.

# %% tags=["parameters"]
profile = "laptop"
data = "procedural"
artifacts = ""
report = ""
shapes = 64
decoder_width = 256
depth = 8
shapes_per_step = 4
points_per_step = 512
decoder_steps = 6000
decoder_rate = 5.0e-4
latent_rate = 1.0e-3
decoder_ema = 0.998
gaussian_weight = 5.0e-6
blend_weight = 0.3
width = 384
layers = 4
heads = 6
batch = 64
rate = 5.0e-4
steps = 600
ema = 0.995
pairs = 12
examples = 12
scored = 6
resolution = 64
surface_points = 10000
volume_points = 50000
seed = 0

# %%
import pandas as pd
import torch

from flowsdf.data import artefacts
from flowsdf.evaluation.topology import topology
from flowsdf.geometry.camera import fibonacci_sphere
from flowsdf.report import figures, results, score_figures
from flowsdf.studies import code_spaces, deepsdf, image_to_latent, scoring
from flowsdf.studies import unseen as study
from flowsdf.studies.gains import gain_metrics, gains
from flowsdf.train import fits

chapter = results.open_chapter("13c_latent_space", globals())
folder, store = chapter.artifacts_of("00_data"), chapter.artifacts / "fits"
train = deepsdf.enough(artefacts.usable_shapes(folder, "train")[:shapes])
splits = ("held_out_shape", "held_out_category", "special")
held = [e for split in splits for e in artefacts.usable_shapes(folder, split)[: scored or None]]
objects = held or train[:4]
if not held:
    results.say(chapter, "**No shape of so small a set is held out: what follows are training shapes.**")
cameras = torch.tensor(fibonacci_sphere(64), dtype=torch.float32)
seen, pictures = (torch.as_tensor(artefacts.read_features(folder, part)) for part in (train, objects))
results.record_metrics(chapter, {"training_shapes": len(train), "unseen_shapes": len(held)})

# %% [markdown]
# ## Four spaces
#
# *plain*: codes with a small penalty on their norm, as in the thesis. *Gaussian*: a code is a normal distribution,
# drawn from at each step; its divergence from the standard one is a loss. *sphere*: codes have norm one. *blended*: at
# a mix of two codes the field is to be the same mix of both fields. Everything else is the same, the image models too.

# %%
weights = {"plain": 0.0, "Gaussian": gaussian_weight, "sphere": 0.0, "blended": blend_weight}
numbers = {"width": decoder_width, "depth": depth, "steps": decoder_steps, "shapes_per_step": shapes_per_step}
numbers |= {"points_per_step": points_per_step, "decoder_rate": decoder_rate, "latent_rate": latent_rate}
numbers |= {"ema": decoder_ema, "seed": seed}
inputs = {f"{stage} of {e.name}": e.stages[stage].key for e in train for stage in ("sdf", "features")}
samples = deepsdf.as_tensors(*artefacts.read_samples(folder, train))
jobs = {
    name: fits.Job(code_spaces.fit_space, samples, numbers | {"space": name, "weight": weight}, inputs)
    for name, weight in weights.items()
}
spaces = fits.fit_all({"blended": jobs["blended"]} | jobs, store=store)  # the longest first
spaces = {name: spaces[name] for name in weights}
settings = {"deterministic": False, "width": width, "layers": layers, "heads": heads, "seed": seed}
settings |= {"steps": steps, "batch": batch, "rate": rate, "ema": ema}
jobs = {
    f"{name} predictor": fits.Job(
        image_to_latent.fit_predictor,
        (fit.tensors["latents"], seen, cameras),
        settings,
        inputs | {"decoder": fit.facts["fingerprint"]},
    )
    for name, fit in spaces.items()
}
fitted = fits.fit_all(jobs, store=store)
models = {name: deepsdf.restore(fit.tensors) for name, fit in spaces.items()}
predictors = {
    name: image_to_latent.restore_predictor(fitted[f"{name} predictor"].tensors, heads=heads) for name in spaces
}

# %% [markdown]
# ## What lies between two codes
#
# Pairs of training shapes of one piece, five codes on the way from one to the other. Is the shape in the middle of one
# piece, and does it change evenly, or all at once? The largest of four steps has a quarter of an even change.

# %%
single = [topology(artefacts.read_mesh_artefact(folder, e)).components for e in train]
chosen = code_spaces.single_pairs(single, pairs, seed=seed)
paths = {
    name: [deepsdf.surfaces(decoder, code_spaces.between(codes[a], codes[b], 5, name), resolution) for a, b in chosen]
    for name, (decoder, codes) in models.items()
}
lines = pd.DataFrame([{"codes": name} | code_spaces.path_line(p) for name, p in paths.items()])
caption = (
    f"{len(chosen)} pairs: shares of one piece (Wilson's 95 % limits), and the largest of four steps (Student's t)."
)
results.save_table(chapter, lines, "between", caption=caption)
if len(chosen):
    meshes = [surface.mesh for name in paths for path in paths[name][:2] for surface in path]
    titles = [f"{name} {i}/4" for name in paths for _ in paths[name][:2] for i in range(5)]
    figure = figures.mesh_grid(meshes, titles, columns=5 * min(2, len(chosen)), size=1.2)
    caption = "Two pairs, left and right: from one training shape to another in five steps, in each space."
    results.save_figure(chapter, figure, "between", caption=caption, key=True)
else:
    results.say(chapter, "No two training shapes are of one piece, so nothing is told of what lies between.")

# %% [markdown]
# ## Answers to unseen shapes
#
# From eight views, beside what costs nothing and what needs the truth; by fewer points and on a coarser grid than in
# chapter `13`, so that rows of this table can be compared, but not with that page's.

# %%
distances = scoring.cloud_distances(scoring.clouds(folder, objects), scoring.clouds(folder, train))
given = study.inputs(pictures, cameras, views=8, seed=seed)
choices = study.training_choices(given, seen, distances, seed=seed)
decoder, codes = models["plain"]
mean = {"mean latent": codes.mean(0, keepdim=True)}
rows = study.answers(decoder, mean, choices, folder, train, objects, resolution=resolution)
for name, (decoder, _) in models.items():
    answer = code_spaces.settled(image_to_latent.predict(predictors[name], given.several, seed=seed), name)
    rows[name] = deepsdf.surfaces(decoder, answer, resolution)
drawn = {"surface_points": surface_points, "volume_points": volume_points}
scores = scoring.score_rows(rows, folder, objects, **drawn)
figure = score_figures.ranges(scores, x="iou", y="row", hue="split")
caption = "IoU: light dots are objects (in brackets how many), dark ones means, lines 95 % limits, cut at the edge."
results.save_figure(chapter, figure, "rows", caption=caption)

# %%
regularised = [name for name in spaces if name != "plain"]
compared = [*regularised, "retrieval", "oracle", "mean latent"]
gained = gains(scores, compared, "plain", seed=seed)
caption = "IoU that each row gains on the plain space, on the same unseen shapes; 95 % intervals over shapes."
results.save_table(chapter, gained, "gains", caption=caption)
clean = code_spaces.one_piece(
    rows, [topology(artefacts.read_mesh_artefact(folder, e)).components == 1 for e in objects]
)
caption = "Answers in one piece but for specks, among unseen objects that are (Wilson's 95 % limits)."
results.save_table(chapter, clean, "one_piece", caption=caption)
few = objects[:: max(1, len(objects) // 6)][:6]
at = [objects.index(e) for e in few]
meshes = [artefacts.read_mesh_artefact(folder, e) for e in few]
meshes += [rows[name][i].mesh for name in spaces for i in at]
titles = [e.category for e in few] + [name for name in spaces for _ in at]
figure = figures.mesh_grid(meshes, titles, columns=len(few), size=1.6)
results.save_figure(chapter, figure, "unseen", caption="Unseen shapes above, and the answer of each space.")

# %% [markdown]
# ## What it costs
#
# How well a decoder reproduces its own training shapes, and how far the image model is from their codes.

# %%
some = list(range(0, len(train), max(1, len(train) // examples)))[:examples]
own = {name: deepsdf.surfaces(decoder, codes[some], resolution) for name, (decoder, codes) in models.items()}
kept = scoring.score_rows(own, folder, [train[i] for i in some], **drawn)
results.save_table(
    chapter, scoring.summary(kept), "own_codes", caption=f"{len(some)} training shapes, their own codes."
)
again = study.inputs(seen, cameras, views=8, seed=seed).several
error = {
    name: code_spaces.code_error(
        code_spaces.settled(image_to_latent.predict(predictors[name], again, seed=seed), name), codes
    )
    for name, (_, codes) in models.items()
}

# %% [markdown]
# ## One table, one verdict

# %%
table = code_spaces.comparison(lines, kept, error, scores, gained, clean, seed=seed)
results.save_table(chapter, table, "spaces", caption="Four spaces of codes; 95 % limits in brackets.")
if len(held) > 1:
    named = {"oracle": "oracle", "mean": "mean latent"} | {name.lower(): name for name in regularised}
    results.record_metrics(chapter, gain_metrics(gained, named))
    middles = lines.set_index("codes").midpoints
    results.record_metrics(chapter, {f"{name.lower()}_midpoints": middles[name] for name in spaces})
    results.record_metrics(chapter, {"plain_iou": gained.base[0]})
    limits = gained.set_index("row")
    helped, lost = ([n for n in regularised if sign * limits[end][n] > 0] for end, sign in (("low", 1), ("high", -1)))
    word = f"Better than the plain space: {', '.join(helped)}" if helped else "No space is better beyond doubt"
    word += f"; worse: {', '.join(lost)}" if lost else ""
    unsure = "" if limits.low["oracle"] > 0 else " The positive control is not beyond doubt: this decides little."
    results.say(
        chapter,
        f"**{word}.** On the plain space's {{plain_iou:.3f}} IoU the Gaussian one gains {{gaussian_gain:.3f}} "
        "[{gaussian_low:.3f}, {gaussian_high:.3f}], the sphere {sphere_gain:.3f} [{sphere_low:.3f}, "
        "{sphere_high:.3f}], blended fields {blended_gain:.3f} [{blended_low:.3f}, {blended_high:.3f}]. Of one piece "
        "half way between two codes: plain {plain_midpoints:.2f}, Gaussian {gaussian_midpoints:.2f}, sphere "
        f"{{sphere_midpoints:.2f}}, blended {{blended_midpoints:.2f}}.{unsure}",
    )

# %%
results.save_table(chapter, scoring.summary(scores), "summary", caption=f"{len(objects)} objects, every row.")
results.save_table(chapter, scores, "scores", caption="Every score of every object and row.")
results.record_claims(chapter, ["G4"] if len(held) > 1 else [])
results.finish(chapter, encoder=True, inputs=inputs)
