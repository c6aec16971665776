# %% [markdown]
# # DeepSDF: one decoder for all shapes, one code for each
#
# **Claim.** A shared decoder of eight layers of 512 reconstructs twenty shapes cleanly from 64 numbers each, thin
# geometry included, where four layers of 256 give blobs behind healthy losses; and it still does for all shapes.
#
# **What would refute it:** a small decoder whose meshes are as good, spokes missing from the wagon wheel, a shape that
# fails outright among all of them, or latents that do as well at the decoder's own learning rate.

# %% tags=["parameters"]
profile = "laptop"
data = "procedural"
artifacts = ""
report = ""
few = 20
most = 0
width = 512
depth = 8
few_steps = 16000
pilot_steps = 16000
ablation_steps = 1000
all_epochs = 400
shapes_per_step = 4
points_per_step = 128
decoder_rate = 5.0e-4
latent_rate = 1.0e-3
ema = 0.998
stride = 80
latent_steps = 60
resolution = 128
scored = 10
unseen = 6
surface_points = 30000
fine_points = 100000
volume_points = 100000
seed = 0

# %%
import numpy as np
import pandas as pd

from flowsdf.data import artefacts
from flowsdf.evaluation import diagnostics, topology
from flowsdf.evaluation.concentration import fewest_by_chance
from flowsdf.models.deepsdf import DeepSDF, field
from flowsdf.report import figures, results, views3d
from flowsdf.studies import deepsdf, scoring
from flowsdf.studies.latent_fit import fit_latents
from flowsdf.train import checkpoint, fits

chapter = results.open_chapter("11_deepsdf", globals())
folder, store = chapter.artifacts_of("00_data"), chapter.artifacts / "fits"
train = artefacts.usable_shapes(folder, "train")
train = deepsdf.enough(train[:most] if most else train)
points, sdf = deepsdf.as_tensors(*artefacts.read_samples(folder, train))
few = min(few, len(train))
drawn = {"surface_points": surface_points, "volume_points": volume_points}

# %% [markdown]
# ## The objective
#
# Decoder $f_\varphi$ and latents $z_i$ minimise the mean over shapes of $\frac{1}{P} \sum_p
# |\mathrm{clamp}(f_\varphi(z_i, x_p), \delta) - \mathrm{clamp}(s_{i,p}, \delta)| + \lambda |z_i|^2$ with $P$ points,
# four shapes a step, Adam with a rate of its own for the latents. At the thesis's size all shapes are seen 246 times, a
# sixth of the thesis's 1,500, so that the report fits into an hour. At laptop size the pilot and the full decoder take
# the same steps on the same points; only what is named differs.

# %%
common = {"shapes_per_step": shapes_per_step, "points_per_step": points_per_step, "ema": ema, "seed": seed}
common |= {"decoder_rate": decoder_rate, "latent_rate": latent_rate}
all_steps = all_epochs * len(train) // min(shapes_per_step, len(train))
runs = {
    "few": (few, {"width": width, "depth": depth, "steps": few_steps}),
    "all": (len(train), {"width": width, "depth": depth, "steps": all_steps}),
    "pilot": (few, {"width": width // 2, "depth": depth // 2, "steps": pilot_steps}),
    "two rates": (few, {"width": width, "depth": depth, "steps": ablation_steps}),
    "one rate": (few, {"width": width, "depth": depth, "steps": ablation_steps, "latent_rate": decoder_rate}),
}
keys = {e.name: e.stages["sdf"].key for e in train}
jobs = {}
for name, (count, numbers) in runs.items():
    inputs = dict(list(keys.items())[:count])
    jobs[name] = fits.Job(deepsdf.fit_decoder, (points[:count], sdf[:count]), common | numbers, inputs)
fitted = fits.fit_all(jobs, store=store)
models = {name: deepsdf.restore(fit.tensors) for name, fit in fitted.items()}
for name in ("few", "all"):
    checkpoint.write(chapter.artifacts / f"{name}.safetensors", fitted[name].tensors, fitted[name].facts)

# %%
held_against = (points[:, ::stride], sdf[:, ::stride])  # near and uniform points alike
errors = {}
for name, (count, _) in runs.items():
    errors[name] = deepsdf.error_per_shape(*models[name], *(values[:count] for values in held_against)).numpy()
cosines = {name: diagnostics.pairwise_cosine(latents.cpu().numpy())["mean"] for name, (_, latents) in models.items()}
table = pd.DataFrame.from_dict({name: {"shapes": count, **numbers} for name, (count, numbers) in runs.items()}, "index")
table["SDF L1 (mean)"] = {name: error.mean() for name, error in errors.items()}
table["SDF L1 (max)"] = {name: error.max() for name, error in errors.items()}
table["latent pairwise cosine"] = cosines
for fact in ("seconds", "threads"):
    table[fact] = {name: fit.facts[fact] for name, fit in fitted.items()}
table = table.fillna({"latent_rate": latent_rate}).rename_axis("run").reset_index()
results.save_table(chapter, table, "configurations", caption=f"Clamped L1 over every {stride}th point of each shape.")

# %%
columns = ["step", "seconds", "loss"]
curve = pd.concat(pd.DataFrame(fit.facts["curve"], columns=columns).assign(run=name) for name, fit in fitted.items())
figure = figures.curves(curve, x="seconds", y="loss", label="run")
results.save_figure(
    chapter, figure, "loss", caption="Training loss against seconds of training; the runs train side by side."
)

# %% [markdown]
# ## Healthy numbers, blob meshes?
#
# The same shapes from both decoders, beside the truth. A small loss is no evidence; look at the meshes.

# %%
names = [e.category for e in train[:few]]
delicate = ("wagon_wheel", "chair", "turkey", "ladder", "wheel", "table")
chosen = sorted(range(few), key=lambda i: (names[i] not in delicate, i))[:5]
truth = [artefacts.read_mesh_artefact(folder, e) for e in train[:few]]
few_surfaces = deepsdf.surfaces(*models["few"], resolution)
pilot_surfaces = deepsdf.surfaces(*models["pilot"], resolution)
rows = {"truth": truth, "pilot": [s.mesh for s in pilot_surfaces], "full": [s.mesh for s in few_surfaces]}
titles = [f"{row} {names[i]}" for row in rows for i in chosen]
figure = figures.mesh_grid([rows[row][i] for row in rows for i in chosen], titles, columns=len(chosen), size=2)
results.save_figure(
    chapter,
    figure,
    "capacity",
    caption=f"Truth, the {width // 2}x{depth // 2} pilot, the {width}x{depth} decoder.",
    key=True,
)

# %%
answers = {"pilot": pilot_surfaces, "full": few_surfaces, "floor": scoring.resampled(folder, train[:few], resolution)}
few_scores = scoring.score_rows(answers, folder, train[:few], **drawn)
summary = scoring.summary(few_scores)
results.save_table(chapter, summary, "summary_few", caption="Means over shapes with 95 % intervals.")
results.save_table(chapter, few_scores, "scores_few", caption="Every score of every shape and row.")
iou = few_scores.groupby("row").iou.mean()

# %%
more = drawn | {"surface_points": fine_points}
finer = scoring.score_rows({"full": few_surfaces[:5]}, folder, train[:few][:5], **more)
change = finer.chamfer_l1.to_numpy() / few_scores[few_scores.row == "full"].chamfer_l1.to_numpy()[:5] - 1
results.record_metrics(chapter, {"chamfer_change_at_more": float(np.abs(change).max()), "fine_points": fine_points})
results.record_metrics(chapter, {"floor_cd": few_scores.groupby("row").chamfer_l1.mean()["floor"]})
results.say(
    chapter,
    "With {fine_points:,} points a surface Chamfer-L1 changes by at most {chamfer_change_at_more:.1%}: of so good a "
    "reconstruction it is mostly the distance between samples (the floor, which is the truth sampled again, has "
    "{floor_cd:.3f}), and shrinks with them. IoU tells more here.",
)

# %%
figure = figures.mesh_grid(rows["full"], names, columns=7, size=1.7)
results.save_figure(chapter, figure, "recall_20", caption="Every shape of the small set, from its 64 numbers.")
pairs = [(i, row, word) for i in chosen[:2] for row, word in (("truth", "true"), ("full", "decoded"))]
turning = {f"{word} {names[i]} {train[i].index}": rows[row][i] for i, row, word in pairs}
views3d.save_view(chapter, turning, "recall", caption="Truth beside reconstruction.")

# %% [markdown]
# ## The wagon wheel
#
# Solid arcs of the reconstructed field on circles about halfway between hub and rim, the median of four. A spoke that
# is broken nearer to the rim or the hub counts; the figure above shows how whole they are.

# %%
wheel = next((i for i, e in enumerate(train[:few]) if e.category == "wagon_wheel"), None)
if wheel is not None:
    for metric, of in {"wagon_wheel_spokes": "few", "pilot_wheel_spokes": "pilot"}.items():
        decoder, latents = models[of]
        counts = [topology.spokes(field(decoder, latents[wheel]), radius=r) for r in (0.45, 0.5, 0.55, 0.6)]
        results.record_metrics(chapter, {metric: int(np.median(counts))})
    results.say(chapter, "There the wheel has {wagon_wheel_spokes} spokes, the pilot's {pilot_wheel_spokes}.")
else:
    results.say(chapter, "There is no wagon wheel among these shapes.")

# %% [markdown]
# ## All shapes
#
# The worst ten by loss, truth above reconstruction: do they fail in one way? A shape *fails* when its own code serves
# it no better than the mean of all codes.

# %%
decoder, latents = models["all"]
null = deepsdf.error_per_shape(decoder, latents.mean(0).expand_as(latents), *held_against)
worst = np.argsort(-errors["all"])[:10]
worst_surfaces = deepsdf.surfaces(decoder, latents[worst], resolution * 3 // 4)  # shown small
meshes = [*(artefacts.read_mesh_artefact(folder, train[i]) for i in worst), *(s.mesh for s in worst_surfaces)]
figure = figures.mesh_grid(
    meshes, [f"{train[i].category} {errors['all'][i]:.4f}" for i in worst] * 2, columns=len(worst)
)
results.save_figure(chapter, figure, "worst_ten", caption="The ten worst shapes: truth above, reconstruction below.")

# %%
sample = np.linspace(0, len(train) - 1, min(scored, len(train))).astype(int)
sampled = [train[i] for i in sample]
all_surfaces = deepsdf.surfaces(decoder, latents[sample], resolution)
all_scores = scoring.score_rows({"all": all_surfaces}, folder, sampled, **drawn)
results.save_table(
    chapter, scoring.summary(all_scores), "summary_all", caption="The decoder of all shapes, on an even choice."
)

# %% [markdown]
# ## Unseen shapes, and what lies between two codes
#
# A shape the decoder never saw gets the latent that fits its points best; the path between two codes is decoded at
# five places.

# %%
held = artefacts.usable_shapes(folder, "held_out_shape")[:unseen]
if held:
    samples = deepsdf.as_tensors(*artefacts.read_samples(folder, held))
    numbers = {"steps": latent_steps, "seed": seed}
    inputs = {"decoder": fitted["all"].facts["fingerprint"], **{e.name: e.stages["sdf"].key for e in held}}
    tensors = fitted["all"].tensors
    fit = fits.fit(fit_latents, tensors, *samples, store=store, name="unseen", parameters=numbers, inputs=inputs)
    held_surfaces = deepsdf.surfaces(decoder, fit.tensors["latents"].to(latents.device), resolution)
    held_scores = scoring.score_rows({"fitted latent": held_surfaces}, folder, held, **drawn)
    results.save_table(
        chapter, scoring.summary(held_scores), "summary_unseen", caption="Held-out shapes, fitted latents."
    )
    meshes = [*(artefacts.read_mesh_artefact(folder, e) for e in held), *(s.mesh for s in held_surfaces)]
    figure = figures.mesh_grid(meshes, [e.category for e in held] * 2, columns=len(held))
    results.save_figure(chapter, figure, "unseen", caption="Held-out shapes: truth above, best latent below.")
    results.record_metrics(chapter, {"unseen_iou_mean": float(held_scores.iou.mean())})

# %%
between = deepsdf.surfaces(decoder, deepsdf.path(latents[chosen[0]], latents[chosen[1]], 5), resolution)
figure = figures.mesh_grid([s.mesh for s in between], ["start", "1/4", "1/2", "3/4", "end"], columns=5, size=1.8)
results.save_figure(chapter, figure, "interpolation", caption="The straight path between two codes.")

# %% [markdown]
# ## The numbers

# %%
named = {"pilot": "pilot", "deepsdf_20": "few", "deepsdf_all": "all"}
named |= {"two_rates": "two rates", "slow_latents": "one rate"}
numbers = {f"{name}_l1_mean": errors[run] for name, run in named.items()}
numbers |= {f"{name}_l1_max": errors[run].max() for name, run in named.items()}
numbers |= {f"{name}_seconds": fitted[run].facts["seconds"] for name, run in named.items()}
numbers |= {"pilot_iou_mean": iou["pilot"], "deepsdf_20_iou_mean": iou["full"]}
numbers |= {"deepsdf_all_iou_mean": all_scores.iou.mean(), "mean_latent_l1_mean": float(null.mean())}
numbers |= {"deepsdf_all_failed": int((errors["all"] >= null.numpy()).sum())}
expected = fewest_by_chance([entry.category for entry in train], len(worst), seed=seed)
numbers |= {"worst_ten_categories": len({train[i].category for i in worst}), "worst_ten_by_chance": expected}
numbers |= {"worst_ten_spread": numbers["worst_ten_categories"] / expected}
numbers |= {"latent_cosine_20": cosines["few"], "latent_cosine_all": cosines["all"]}
numbers |= {"decoder_parameters": sum(p.numel() for p in DeepSDF().parameters())}
numbers |= {"decoder_inputs": DeepSDF().hidden[0].in_features}
results.record_metrics(chapter, numbers)

# %%
results.say(
    chapter,
    "Few shapes: L1 {deepsdf_20_l1_mean:.5f} and IoU {deepsdf_20_iou_mean:.3f}, the pilot {pilot_l1_mean:.5f} and "
    "{pilot_iou_mean:.3f}; all shapes: {deepsdf_all_l1_mean:.5f} and {deepsdf_all_iou_mean:.3f}. The ten worst of all "
    "are of {worst_ten_categories} categories; ten random ones are of {worst_ten_by_chance} or more in 19 of 20 draws.",
)

# %%
results.record_claims(chapter, ["S1", "S2", "S4", "S5", "S6", *(["S3"] if wheel is not None else [])])
results.finish(chapter, inputs=keys)
