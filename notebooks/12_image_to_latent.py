# %% [markdown]
# # From images to a latent, and from the latent to a mesh
#
# **Claim.** With the shapes' 64-d latents fixed, a small diffusion transformer maps one to eight views of an object to
# its latent: perfect recall at twenty shapes, where an unseen object only retrieves the nearest training shape, and
# category-appropriate answers at many shapes.
#
# **What would refute it:** training shapes that are not recalled, a deterministic regressor that does as well on the
# unseen ones, or predictions for unseen objects that are no better than retrieval.

# %% tags=["parameters"]
profile = "laptop"
data = "procedural"
artifacts = ""
report = ""
width = 384
layers = 4
heads = 6
few_steps = 2200
all_steps = 1900
control_steps = 1900
batch = 64
rate = 5.0e-4
ema = 0.995
max_views = 8
latent_steps = 60
resolution = 128
scored = 9
examples = 10
surface_points = 30000
volume_points = 100000
seed = 0

# %%
import numpy as np
import pandas as pd
import torch

from flowsdf.data import artefacts
from flowsdf.evaluation import diagnostics
from flowsdf.evaluation.few_values import student_interval
from flowsdf.evaluation.loss_curve import end_loss
from flowsdf.generative import diffusion
from flowsdf.geometry.camera import fibonacci_sphere
from flowsdf.models.latent_dit import LatentDiT
from flowsdf.report import figures, results, views3d
from flowsdf.studies import deepsdf, generalisation, image_to_latent, scoring
from flowsdf.studies import unseen as study
from flowsdf.studies.latent_fit import fit_latents
from flowsdf.train import checkpoint, fits

chapter = results.open_chapter("12_image_to_latent", globals())
folder, store = chapter.artifacts_of("00_data"), chapter.artifacts / "fits"
train = artefacts.usable_shapes(folder, "train")
drawn = {"surface_points": surface_points, "volume_points": volume_points}

# %%
stored = {name: checkpoint.read(chapter.artifacts_of("11_deepsdf") / f"{name}.safetensors") for name in ("few", "all")}
decoders, codes = {}, {}
for name, (tensors, _) in stored.items():
    decoders[name], codes[name] = deepsdf.restore(tensors)
counts = {name: len(of) for name, of in codes.items()}
train, examples = train[: counts["all"]], min(examples, counts["few"])
seen = torch.as_tensor(artefacts.read_features(folder, train))
cameras = torch.tensor(fibonacci_sphere(64), dtype=torch.float32)
keys = {e.name: e.stages["features"].key for e in train}
keys |= {f"decoder of {name}": facts["fingerprint"] for name, (_, facts) in stored.items()}

# %% [markdown]
# ## The network and its noise
#
# The latent is one token, so self-attention over it is a no-op; it looks at the views by cross-attention. Noise
# follows the cosine schedule $\bar\alpha(t)$, prediction is of $x_0$, sampling is DDIM in 50 steps.

# %%
times = [0, 50, 100, 200, 300, 450]
alpha_bar = diffusion.cosine_alpha_bar()[times]
results.record_metrics(chapter, {f"alpha_bar_{t}": float(share) for t, share in zip(times, alpha_bar, strict=True)})
results.record_metrics(chapter, {"dit_parameters": sum(p.numel() for p in LatentDiT().parameters())})

# %%
results.say(chapter, "At the thesis's size, fed with DINOv2-base features, it has {dit_parameters:,} parameters.")

# %% [markdown]
# ## Training, and a control that needs no noise
#
# The same tokens train a diffusion model and a deterministic regressor, on latents standardised per dimension.

# %%
settings = {"width": width, "layers": layers, "heads": heads, "batch": batch, "rate": rate, "ema": ema, "seed": seed}
runs = {
    "all": ("all", {"deterministic": False, "steps": all_steps}),
    "few": ("few", {"deterministic": False, "steps": few_steps}),
    "regressor": ("all", {"deterministic": True, "steps": control_steps}),
}
jobs = {}
for name, (of, numbers) in runs.items():
    inputs = {key: value for key, value in keys.items() if not key.startswith("decoder") or key.endswith(of)}
    data_of = (codes[of].cpu(), seen[: counts[of]], cameras)
    jobs[name] = fits.Job(image_to_latent.fit_predictor, data_of, settings | numbers, inputs)
fitted = fits.fit_all(jobs, store=store, workers=len(jobs))
models = {name: image_to_latent.restore_predictor(fit.tensors, heads=heads) for name, fit in fitted.items()}
for name, fit in fitted.items():
    checkpoint.write(chapter.artifacts / f"{name}.safetensors", fit.tensors, fit.facts | {"heads": heads})

# %%
ended = {name: end_loss(fit.facts["curve"], decay=image_to_latent.LOSS_DECAY) for name, fit in fitted.items()}
figure = figures.losses({name: fit.facts["curve"] for name, fit in fitted.items()})
results.save_figure(chapter, figure, "loss", caption="Moving average of the training loss, on standardised latents.")

# %% [markdown]
# ## Recall
#
# Several views of every training shape: is the predicted code the shape's own, and by how much? The null answers every
# image with the mean code.

# %%
given = study.inputs(seen, cameras, views=max_views, seed=seed)
known = scoring.clouds(folder, train)
recalled, tables = {}, []
for name, (of, _) in runs.items():
    recalled[name] = image_to_latent.predict(models[name], image_to_latent.first(given.several, counts[of]), seed=seed)
    decoded = deepsdf.surfaces(decoders[of], recalled[name][:examples], resolution // 2)
    ranks = diagnostics.diagnose(
        recalled[name].cpu().numpy(),
        codes[of].cpu().numpy(),
        np.arange(counts[of]),
        surface_distances=scoring.surface_distances(decoded, known[: counts[of]]),
    )
    tables.append(ranks.assign(run=name).rename_axis("ranking").reset_index())
ranking = pd.concat(tables).set_index("run").reset_index()
caption = f"Predicted codes ranked against every training code; by surface, the first {examples} decoded."
results.save_table(chapter, ranking, "ranking", caption=caption)
cosine = ranking[ranking.ranking == "cosine"].set_index("run")

# %%
one, other, near = diagnostics.nearest_pair(codes["few"].cpu().numpy())
results.record_metrics(chapter, {"nearest_codes_cosine_20": near})
pair, closest = {"one": train[one].category, "other": train[other].category}, "{one} and {other} have the nearest codes"
results.say(
    chapter, closest + " of the few, of cosine {nearest_codes_cosine_20:.2f}: the rest is a recall's margin.", **pair
)

# %%
other = torch.as_tensor(diagnostics.derangement(len(train), np.random.default_rng(seed)))
shuffled = image_to_latent.Views(*(part[other] for part in given.several))
right, wrong = (image_to_latent.loss_by_time(models["all"], codes["all"], v, times) for v in (given.several, shuffled))
implied = diffusion.implied_noise_mse(right, alpha_bar)
table = {"t": times, "abar": alpha_bar, "x0 loss": right, "with shuffled views": wrong, "implied noise loss": implied}
results.save_table(chapter, pd.DataFrame(table), "schedule", caption="Loss by time, with right and with wrong views.")
some = image_to_latent.first(given.several, 32)
strengths = {name: image_to_latent.condition_strength(models[name], some, seed=seed) for name in counts}
strength = pd.DataFrame.from_dict(strengths, orient="index").rename_axis("run").reset_index()
caption = f"What the views change, over {len(some.mask)} shapes; between over within variance."
results.save_table(chapter, strength, "condition", caption=caption)

# %%
from_images = deepsdf.surfaces(decoders["all"], recalled["all"][:examples], resolution)
wheel = [i for i, e in enumerate(train[:examples]) if e.category == "wagon_wheel"][:1]
shown = list(dict.fromkeys([*wheel, *range(0, examples, 2 if examples > 5 else 1)]))[:5]
rows = [artefacts.read_images(folder, train[i])[int(given.chosen[i, 0])] for i in shown]
rows += [figures.shade(artefacts.read_mesh_artefact(folder, train[i])) for i in shown]
rows += [figures.shade(from_images[i].mesh) for i in shown]
figure = figures.image_grid(rows, [train[i].category for i in shown] * 3, columns=len(shown), size=2)
caption = "Training shapes: one of the views, the true mesh, the mesh that the views give."
results.save_figure(chapter, figure, "recall", caption=caption, key=True)

# %% [markdown]
# ## Objects the networks never saw
#
# The three of the thesis, held-out shapes, held-out categories. Every row answers the same views; the last rows say
# what an image model can hardly beat: a code searched for with the truth, and the truth itself.

# %%
splits = ("special", "held_out_shape", "held_out_category")
held = [e for split in splits for e in artefacts.usable_shapes(folder, split)[: -(-scored // len(splits))]]
objects = held or train[:scored]
if not held:
    results.say(chapter, "**No shape of so small a set is held out: what follows are training shapes.**")
views = study.inputs(torch.as_tensor(artefacts.read_features(folder, objects)), cameras, views=max_views, seed=seed)
guess = study.predictions(models, views, seed=seed)
samples = deepsdf.as_tensors(*artefacts.read_samples(folder, objects))
numbers = {"steps": latent_steps, "seed": seed}
inputs = keys | {e.name: e.stages["sdf"].key for e in objects}
best = {}
for name, (tensors, _) in stored.items():
    some = tensors, *(part[: None if name == "all" else 3] for part in samples)
    fit = fits.fit(fit_latents, *some, store=store, name=f"best_{name}", parameters=numbers, inputs=inputs)
    best[name] = fit.tensors["latents"].to(codes[name].device)

# %%
distances = scoring.cloud_distances(scoring.clouds(folder, objects), known)
choices = study.training_choices(views, seen, distances, seed=seed)
coded = {"mean latent": codes["all"].mean(0, keepdim=True), "regressor": guess["regressor"]}
one, more = (generalisation.views_row(count) for count in (1, max_views))
coded |= {one: guess["one view"], more: guess["all"], "fitted latent": best["all"]}
rows = study.answers(decoders["all"], coded, choices, folder, train, objects, resolution=resolution)
scores = scoring.score_rows(rows, folder, objects, **drawn)
results.save_table(chapter, scoring.summary(scores), "summary", caption="Means over shapes, 95 % intervals.")
results.save_table(chapter, scores, "scores", caption="Every score of every unseen object and row.")

# %%
first = range(min(3, len(objects)))
few_surfaces = deepsdf.surfaces(decoders["few"], guess["few"][list(first)], resolution)
grid = {"truth": [artefacts.read_mesh_artefact(folder, objects[i]) for i in first]}
grid |= {f"model of {counts['few']} shapes": [surface.mesh for surface in few_surfaces]}
picked = {f"model of {counts['all']} shapes": more, "retrieval": "retrieval", "fitted latent": "fitted latent"}
grid |= {label: [rows[name][i].mesh for i in first] for label, name in picked.items()}
titles = [f"truth: {objects[i].category}" if label == "truth" else label for label in grid for i in first]
figure = figures.mesh_grid([mesh for row in grid.values() for mesh in row], titles, columns=len(first), size=2.2)
caption = "Objects never seen: the truth, both shape counts, retrieval, and the decoder's best code."
results.save_figure(chapter, figure, "ood", caption=caption, key=True)
views3d.save_view(chapter, {label: row[0] for label, row in grid.items()}, "ood", caption="The first of them.")

# %% [markdown]
# ## Unseen against seen
#
# The same score for training shapes and for each kind of unseen object; the difference of the means has an
# interval over shapes. Categories are those of the nearest training shape by surface, where training has the category.

# %%
seen_scores = scoring.score_rows({"training shapes": from_images}, folder, train[:examples], **drawn)
gaps = study.gaps(seen_scores, scores[scores.row == more], seed=seed)
results.save_table(chapter, gaps, "gap", caption=f"Diffusion's IoU: unseen minus the first {examples} training shapes.")
kinds = study.category_table(rows, objects, train, known)
results.save_table(chapter, kinds, "category", caption="Category of the training shape nearest by surface, 95 % limits")

# %% [markdown]
# ## Recall, retrieval, or generalisation?
#
# An answer *is a training shape* when some training code has a cosine above 9/10 with it: recalled views must do so
# (positive control), the best codes of the unseen objects must not. An answer is *of the right kind* when it is nearer
# to the truth than nine in ten training shapes: the fitted latent must be, the mean latent must not. What came of both
# stands at the top of this page.

# %%
iou, of = scores.groupby("row").iou.mean(), scores.sort_values("shape").set_index("row").chamfer_l1
chosen = {name: [row[i] for i in first] for name, row in rows.items()}
results.record_metrics(
    chapter,
    study.retrieval_detector(guess["few"][list(first)], recalled["few"], codes["few"], best["few"])
    | study.kind_detector(chosen, more, folder, objects[: len(first)], distances[list(first)])
    | {"dit_20_loss": ended["few"], "dit_all_loss": ended["all"], "recall_cosine_min_20": cosine.recall_min["few"]}
    | {"recall_margin_min_20": cosine.margin_min["few"], "recall_cosine_mean_all": cosine.recall_mean["all"]}
    | {"single_view_ood_cd": of[one], "multi_view_ood_cd": of[more], "recalled_iou": seen_scores.iou.mean()}
    | study.iou_metrics(iou, "unseen" if held else "seen"),
)
if held:
    of = scores.pivot(index="shape", columns="row", values="iou")
    gain = {n: student_interval((of[more] - of[n]).to_numpy()) for n in ("retrieval", "regressor")}
    told = " and ".join(f"{on.estimate:.3f} [{on.low:.3f}, {on.high:.3f}] on {n}" for n, on in gain.items())
    results.say(
        chapter,
        f"Over {len(of)} objects the diffusion model gains, with 95 % limits, {told}: with zero between "
        "them nothing is told apart. IoU: diffusion {unseen_diffusion_iou:.3f}, regressor {unseen_regressor_iou:.3f}, "
        "retrieval {unseen_retrieval_iou:.3f}, mean latent {unseen_mean_latent_iou:.3f}; the best training shape "
        "{unseen_oracle_iou:.3f}, the best code {unseen_fitted_latent_iou:.3f}.",
    )

# %%
if wheel:
    results.record_metrics(chapter, {"wagon_wheel_iou_all": float(seen_scores.iou[wheel[0]])})
kept = ["recall_mean", "recall_min", "margin_min", "top1", "distinct_top1"]
scale = cosine.loc[list(counts), kept].assign(shapes=counts, loss=[ended[name] for name in counts])
results.save_table(chapter, scale.reset_index(), "scale", caption="The two shape counts side by side.")
judged = ["L1", "L2", "W4", *(["L4"] if wheel else []), *(["L3", "L7"] if held else [])]
results.record_claims(chapter, [*judged, *(["L5"] if sum(e.split == "special" for e in objects) == 3 else [])])
results.finish(chapter, encoder=True, inputs=keys)
