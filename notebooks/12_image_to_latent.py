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
few = 20
most = 128
width = 384
layers = 4
heads = 6
few_steps = 1500
all_steps = 3000
control_steps = 1500
batch = 32
rate = 3.0e-4
ema = 0.995
max_views = 8
resolution = 128
scored = 12
surface_points = 30000
volume_points = 100000
seed = 0

# %%
import numpy as np
import pandas as pd
import torch

from flowsdf.data import artefacts, features
from flowsdf.evaluation import baselines, diagnostics, topology
from flowsdf.generative import diffusion
from flowsdf.geometry.camera import fibonacci_sphere
from flowsdf.models.latent_dit import LatentDiT
from flowsdf.report import figures, results, views3d
from flowsdf.studies import deepsdf, image_to_latent, scoring
from flowsdf.train import checkpoint, fits

chapter = results.open_chapter("12_image_to_latent", globals())
folder, store = chapter.artifacts_of("00_data"), chapter.artifacts / "fits"
train = artefacts.usable_shapes(folder, "train")
train = train[:most] if most else train
few = min(few, len(train))
counts = {"few": few, "all": len(train)}
keys = {e.name: e.stages["features"].key for e in train}

# %%
codes, decoders = {}, {}
for name in counts:
    tensors, facts = checkpoint.read(chapter.artifacts_of("11_deepsdf") / f"{name}.safetensors")
    decoders[name], codes[name] = deepsdf.restore(tensors)
    keys |= {f"{name} decoder": facts["fingerprint"]}
decoder_tensors = tensors
cameras = torch.tensor(fibonacci_sphere(64), dtype=torch.float32)
seen = torch.as_tensor(artefacts.read_features(folder, train))

# %% [markdown]
# ## The network and its noise
#
# The latent is one token, so self-attention over it is a no-op; it looks at the views by cross-attention. Noise
# follows the cosine schedule $\bar\alpha(t)$, prediction is of $x_0$, sampling is DDIM in 50 steps.

# %%
alpha_bar = diffusion.cosine_alpha_bar()
times = [0, 50, 100, 200, 300, 450]
results.record_metrics(chapter, {f"alpha_bar_{t}": float(alpha_bar[t]) for t in times})
results.record_metrics(chapter, {"dit_parameters": sum(p.numel() for p in LatentDiT().parameters())})
results.say(chapter, "The transformer at the thesis's size, fed with DINOv2-base's 768 numbers a view, has {dit_parameters} parameters.")

# %% [markdown]
# ## Training, and a control that needs no noise
#
# The same tokens train a diffusion model and a deterministic regressor. Latents are standardised per dimension.

# %%
settings = {"width": width, "layers": layers, "heads": heads, "batch": batch, "rate": rate, "ema": ema, "seed": seed}
runs = {
    "few": ("few", {"deterministic": False, "steps": few_steps}),
    "all": ("all", {"deterministic": False, "steps": all_steps}),
    "regressor": ("all", {"deterministic": True, "steps": control_steps}),
}
fitted = {
    name: fits.fit(
        image_to_latent.fit_predictor, codes[of].cpu(), seen[: counts[of]], cameras, store=store, name=name,
        parameters=settings | numbers, inputs={k: v for k, v in keys.items() if not k.endswith("decoder") or k.startswith(of)},
    )
    for name, (of, numbers) in runs.items()
}  # fmt: skip
models = {name: image_to_latent.restore_predictor(fit.tensors, heads=heads) for name, fit in fitted.items()}
checkpoint.write(chapter.artifacts / "all.safetensors", fitted["all"].tensors, {"heads": heads})
curve = pd.concat(pd.DataFrame(f.facts["curve"], columns=["step", "seconds", "loss"]).assign(run=n) for n, f in fitted.items())
results.save_figure(chapter, figures.curves(curve, x="step", y="loss", label="run"), "loss", caption="Moving average of the training loss (standardised latents).")

# %% [markdown]
# ## Recall
#
# Eight views of every training shape: is the predicted code the shape's own, and by how much?

# %%
random = np.random.default_rng(seed)
eight = torch.as_tensor(np.stack([random.permutation(64)[:max_views] for _ in train]))
full = torch.full((len(train),), max_views)
recalled, tables = {}, []
for name in ("few", "all", "regressor"):
    n = counts[runs[name][0]]
    views = image_to_latent.choose_views(seen[:n], cameras, eight[:n], full[:n])
    recalled[name] = image_to_latent.predict(models[name], views, seed=seed)
    ranks = diagnostics.diagnose(recalled[name].cpu().numpy(), codes[runs[name][0]].cpu().numpy(), np.arange(n))
    tables.append(ranks.rename_axis("ranking").reset_index().assign(run=name))
ranking = pd.concat(tables).set_index(["run", "ranking"])
results.save_table(chapter, ranking.reset_index(), "ranking", caption="Predicted codes ranked against every training code; null: the mean code for every image.")

# %%
profile_t = [0, 50, 100, 200, 300, 450]
views = image_to_latent.choose_views(seen, cameras, eight, full)
shuffled = image_to_latent.Views(*(part[torch.as_tensor(diagnostics.derangement(len(train), random))] for part in views))
losses = [image_to_latent.loss_by_time(models["all"], codes["all"], v, profile_t) for v in (views, shuffled)]
schedule = pd.DataFrame({"t": times, "abar": alpha_bar[times], "x0 loss": losses[0], "shuffled condition": losses[1],
    "implied noise loss": diffusion.implied_noise_mse(losses[0], alpha_bar[times])})  # fmt: skip
results.save_table(chapter, schedule, "schedule", caption="The schedule, the loss at each time with the right and with a wrong condition, and the noise error it implies.")

# %%
shown = [i for i, e in enumerate(train[:few])][:: max(1, few // 5)][:5]
wheel = next((i for i, e in enumerate(train) if e.category == "wagon_wheel"), None)
shown = list(dict.fromkeys([*([wheel] if wheel is not None else []), *shown]))[:5]
recall_surfaces = deepsdf.surfaces(decoders["all"], recalled["all"][shown], resolution)
truth = [artefacts.read_mesh_artefact(folder, train[i]) for i in shown]
pictures = [artefacts.read_images(folder, train[i])[int(eight[i][0])] for i in shown]
titles = [train[i].category for i in shown]
results.save_figure(chapter, figures.image_grid([*pictures, *map(figures.shade, truth), *(figures.shade(s.mesh) for s in recall_surfaces)], titles * 3, columns=len(shown), size=2), "recall", caption="Training shapes: one of the eight views, the true mesh, the mesh from the images.", key=True)

# %% [markdown]
# ## Objects the networks never saw
#
# Held-out shapes, held-out categories, and the three of the thesis. Every row answers the same views; the lower rows say
# what no image model can beat: the decoder's own best code, and the truth sampled again.

# %%
unseen = [e for split in ("special", "held_out_shape", "held_out_category") for e in artefacts.usable_shapes(folder, split)]
unseen = (unseen or train)[:scored]
specials = [i for i, e in enumerate(unseen) if e.split == "special"]
features_unseen = torch.as_tensor(artefacts.read_features(folder, unseen))
given = torch.as_tensor(np.stack([random.permutation(64)[:max_views] for _ in unseen]))
several = image_to_latent.choose_views(features_unseen, cameras, given, torch.full((len(unseen),), max_views))
single = image_to_latent.choose_views(features_unseen, cameras, given[:, :1], torch.ones(len(unseen), dtype=torch.long))
points, sdf = deepsdf.as_tensors(*artefacts.read_samples(folder, unseen))
best = fits.fit(deepsdf.fit_latents, decoder_tensors, points, sdf, store=store, name="best",
    parameters={"steps": 200, "points_per_step": 512, "rate": 5e-3, "seed": seed}, inputs=keys | {e.name: e.stages["sdf"].key for e in unseen})  # fmt: skip
guess = {name: image_to_latent.predict(models[name], several, seed=seed) for name in models}
guess["one view"] = image_to_latent.predict(models["all"], single, seed=seed)

# %%
clouds = scoring.clouds(folder, train)
near = scoring.cloud_distances(scoring.clouds(folder, unseen), clouds)
mean_view = seen.mean(1).numpy()
choice = {
    "anchor": baselines.anchor_shape(len(unseen)),
    "random shape": baselines.random_shape(len(unseen), len(train), random),
    "retrieval": baselines.retrieved_shape(features_unseen.mean(1).numpy(), mean_view),
    "oracle": baselines.oracle_shape(near),
}
cache = {i: scoring.resampled(folder, [train[i]], resolution)[0] for i in sorted({int(i) for row in choice.values() for i in row})}
decoded = lambda z: deepsdf.surfaces(decoders["all"], z, resolution)  # noqa: E731
rows = {"mean latent": decoded(codes["all"].mean(0, keepdim=True)) * len(unseen)}
rows |= {name: [cache[int(i)] for i in row] for name, row in choice.items()}
rows |= {"regressor": decoded(guess["regressor"]), "diffusion, 1 view": decoded(guess["one view"]), "diffusion, 8 views": decoded(guess["all"])}
rows |= {"fitted latent": decoded(best.tensors["latents"]), "floor": scoring.resampled(folder, unseen, resolution)}

# %%
true = scoring.truths(folder, unseen, surface_points=surface_points, volume_points=volume_points)
scores = scoring.score_rows(rows, true, unseen)
results.save_table(chapter, scores, "scores", caption="Every score of every unseen object and row.")
results.save_table(chapter, scoring.summary(scores), "summary", caption="Unseen objects: means over shapes with bootstrap 95 % intervals.")
columns = specials or list(range(min(3, len(unseen))))
few_surfaces = deepsdf.surfaces(decoders["few"], guess["few"][columns], resolution)
grid = {"truth": [artefacts.read_mesh_artefact(folder, unseen[i]) for i in columns], f"{few} shapes": [s.mesh for s in few_surfaces]}
grid |= {f"{len(train)} shapes": [rows["diffusion, 8 views"][i].mesh for i in columns], "retrieval": [rows["retrieval"][i].mesh for i in columns], "fitted latent": [rows["fitted latent"][i].mesh for i in columns]}
titles = [f"{name}: {unseen[i].category}" for name in grid for i in columns]
results.save_figure(chapter, figures.mesh_grid([m for row in grid.values() for m in row], titles, columns=len(columns), size=2.2), "ood", caption="Objects never seen: truth, both shape counts, retrieval, and the best code of the decoder.", key=True)
views3d.save_view(chapter, {f"{name} {unseen[columns[0]].category}": row[0] for name, row in grid.items()}, "ood", caption="The first unseen object: truth, answers, and bounds.")

# %% [markdown]
# ## Recall, retrieval, or generalisation?
#
# An answer *is a training shape* when a training code lies above a cosine of 9/10 of it: recalled training views must
# do so (positive control), random codes must not (negative control). An answer is *of the right kind* when it is nearer
# to the truth than nine in ten training shapes are; the fitted latent must be, random training shapes must not.

# %%
few_codes = codes["few"].cpu().numpy()
top1 = lambda z: diagnostics.cosine(z.cpu().numpy(), few_codes).max(1)  # noqa: E731
noise = codes["few"].std() * torch.randn(200, codes["few"].shape[1], generator=torch.Generator().manual_seed(seed))
answer = {name: scoring.surface_distances([rows[name][i] for i in columns], [scoring.clouds(folder, [unseen[i]])[0] for i in columns]).diagonal() for name in ("diffusion, 8 views", "fitted latent", "random shape")}
kind = {name: distance < np.quantile(near[columns], 0.1, axis=1) for name, distance in answer.items()}
table = scores.set_index(["row", "shape"]).chamfer_l1
names = [unseen[i].name for i in columns]
ood = {"single": table["diffusion, 1 view"][names], "multi": table["diffusion, 8 views"][names]}
results.record_metrics(chapter, {
    "ood_20_top1_is_retrieval": float(np.median(top1(guess["few"][columns]) > 0.9)),
    "ood_20_top1_cosine": float(top1(guess["few"][columns]).mean()),
    "retrieval_positive_control": float(np.median(top1(recalled["few"]) > 0.9)),
    "retrieval_negative_control": float((top1(noise) > 0.9).mean() > 0.05),
    "category_positive_control": float(kind["fitted latent"].all()), "category_negative_control": float(kind["random shape"].mean() > 0.5),
    "single_view_ood_cd": float(ood["single"].mean()), "multi_view_ood_cd": float(ood["multi"].mean()),
    **{f"{unseen[i].category}_category_right": float(hit) for i, hit in zip(columns, kind["diffusion, 8 views"]) if unseen[i].split == "special"},
})  # fmt: skip

# %%
cosine = ranking.xs("cosine", level="ranking")
results.record_metrics(chapter, {
    "dit_20_loss": fitted["few"].facts["loss"], "dit_all_loss": fitted["all"].facts["loss"], "regressor_loss": fitted["regressor"].facts["loss"],
    "recall_cosine_min_20": cosine.recall_min["few"], "recall_margin_min_20": cosine.margin_min["few"],
    "recall_cosine_mean_all": cosine.recall_mean["all"], "recall_top1_all": cosine.top1["all"],
    **{f"unseen_{name.split(',')[0].replace(' ', '_')}_iou": scores[scores.row == name].iou.mean() for name in ("mean latent", "retrieval", "oracle", "regressor", "diffusion, 8 views", "fitted latent", "floor")},
})  # fmt: skip
if wheel is not None:
    wheel_truth = scoring.truths(folder, [train[wheel]], surface_points=surface_points, volume_points=volume_points)
    wheel_score = scoring.score_rows({"wheel": [recall_surfaces[0]]}, wheel_truth, [train[wheel]])
    results.record_metrics(chapter, {"wagon_wheel_iou_all": float(wheel_score.iou[0])})
scale = pd.DataFrame({"property": ["shapes", "training loss", "recall cosine (mean)", "recall margin (min)", "distinct top-1"],
    **{f"{counts[n]} shapes": [counts[n], fitted[n].facts["loss"], cosine.recall_mean[n], cosine.margin_min[n], cosine.distinct_top1[n]] for n in counts}})  # fmt: skip
results.save_table(chapter, scale, "scale", caption="The two shape counts side by side.")
results.say(chapter, "Unseen objects, IoU: diffusion {unseen_diffusion_iou:.3f}, regressor {unseen_regressor_iou:.3f}, retrieval {unseen_retrieval_iou:.3f}, oracle {unseen_oracle_iou:.3f}, fitted latent {unseen_fitted_latent_iou:.3f}.")

# %%
encoder = features.load_encoder()
results.record_claims(chapter, ["L1", "L2", "L3", "L4", "L5", "L7", "W4"])
results.finish(chapter, encoder=encoder.name, encoder_hash=encoder.sha256, inputs=keys)
