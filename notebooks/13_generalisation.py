# %% [markdown]
# # Does it generalise?
#
# **Question.** The thesis looked at three objects its networks had never seen, and called their answers
# category-appropriate. Are the answers to unseen objects better than what one gets for nothing: the training shape
# whose pictures look most alike?
#
# **What would refute "it generalises":** an interval of the difference to retrieval, over unseen shapes, that is not
# wholly on the better side. **What would show whose fault it is:** the best code that the decoder has for the same
# shapes.
#
# Three kinds of unseen: other shapes of known categories, categories never seen, and the thesis's own three objects.

# %% tags=["parameters"]
profile = "laptop"
data = "procedural"
artifacts = ""
report = ""
shapes = 0
fixed_epochs = False
full_shapes = 128
decoder_steps = 5000
predictor_steps = 1200
view_counts = [1, 2, 4, 8]
scored = 6
examples = 8
latent_steps = 200
resolution = 128
surface_points = 30000
volume_points = 100000
seed = 0

# %%
import torch

from flowsdf.data import artefacts, features
from flowsdf.geometry.camera import fibonacci_sphere
from flowsdf.report import figures, results, score_figures, views3d
from flowsdf.studies import deepsdf, export, generalisation, image_to_latent, scoring
from flowsdf.studies import unseen as study
from flowsdf.train import fits

chapter = results.open_chapter("13_generalisation", globals())
folder, store = chapter.artifacts_of("00_data"), chapter.artifacts / "fits"
train = artefacts.usable_shapes(folder, "train")
train = deepsdf.enough(train[:shapes] if shapes else train)
cameras = torch.tensor(fibonacci_sphere(64), dtype=torch.float32)
drawn = {"surface_points": surface_points, "volume_points": volume_points}
ours = generalisation.views_row(max(view_counts))

# %% [markdown]
# ## The model under test
#
# A decoder with a code for each training shape, and a diffusion model from views to codes: those of the two chapters
# before this one. A run that is told how many shapes to learn from (`make sweep` does so) trains both on the first so
# many, with as many steps whatever the count, or with as many epochs.

# %%
seen = torch.as_tensor(artefacts.read_features(folder, train))
if shapes:
    share = len(train) / full_shapes if fixed_epochs else 1.0
    steps = {"decoder_steps": round(share * decoder_steps), "predictor_steps": round(share * predictor_steps)}
    model = generalisation.trained(folder, train, seen, cameras, store=store, seed=seed, **steps)
else:
    places = chapter.artifacts_of("11_deepsdf"), chapter.artifacts_of("12_image_to_latent")
    model = generalisation.stored(*(place / "all.safetensors" for place in places))
train, seen = train[: len(model.codes)], seen[: len(model.codes)]
splits = ("held_out_shape", "held_out_category", "special")
held = [e for split in splits for e in artefacts.usable_shapes(folder, split)[: scored or None]]
objects = held or train[:examples]
if not held:
    results.say(chapter, "**No shape of so small a set is held out: what follows are training shapes.**")
results.record_metrics(chapter, {"training_shapes": len(train), "unseen_shapes": len(held)})

# %% [markdown]
# ## Every answer to the same pictures
#
# What costs nothing (the mean code, the first training shape, any training shape, the one whose pictures look most
# alike), what cannot be had without the truth (the best training shape, the best code), the model with one to eight
# views, and the floor: the truth sampled again. Scores follow the frozen protocol.

# %%
known = scoring.clouds(folder, train)
distances = scoring.cloud_distances(scoring.clouds(folder, objects), known)
pictures = torch.as_tensor(artefacts.read_features(folder, objects))
given = study.inputs(pictures, cameras, views=max(view_counts), seed=seed)
choices = study.training_choices(given.several, seen, distances, seed=seed)
numbers = {"steps": latent_steps, "points_per_step": 512, "rate": 5e-3, "seed": seed}
inputs = model.keys | {e.name: e.stages["sdf"].key for e in objects}
data_of = model.tensors, *deepsdf.as_tensors(*artefacts.read_samples(folder, objects))
best = fits.fit(deepsdf.fit_latents, *data_of, store=store, name="best", parameters=numbers, inputs=inputs)
coded = {"mean latent": model.codes.mean(0, keepdim=True)}
coded |= generalisation.by_views(model.predictor, pictures, cameras, view_counts, seed=seed)
coded |= {"fitted latent": best.tensors["latents"].to(model.codes.device)}
rows = study.answers(model.decoder, coded, choices, folder, train, objects, resolution=resolution)
if data != "procedural":
    elsewhere = export.load_model()
    transferred = image_to_latent.predict(elsewhere.predictor, given.several, seed=seed)
    rows["trained on built-in shapes"] = deepsdf.surfaces(elsewhere.decoder, transferred, resolution)
scores = scoring.score_rows(rows, folder, objects, **drawn)

# %%
results.save_table(chapter, scores, "scores", caption="Every score of every unseen object and row.")
caption = f"{len(objects)} objects: means over shapes, bootstrap 95 % intervals."
results.save_table(chapter, scoring.summary(scores), "summary", caption=caption)
for split, group in scores.groupby("split", sort=False):
    caption = f"The same for split {split} alone."
    results.save_table(chapter, scoring.summary(group), f"summary_{split}", caption=caption)

# %%
figure = score_figures.ranges(scores, x="iou", y="row", hue="split")
caption = "IoU with the truth: means over unseen shapes, bootstrap 95 % intervals. Further right is better."
results.save_figure(chapter, figure, "rows", caption=caption, key=True)

# %% [markdown]
# ## Does it beat retrieval?
#
# Both answers are scored on the same shape, so the difference is taken shape by shape, and its interval is over shapes.

# %%
gain = generalisation.advantage(scores, ours, "retrieval", seed=seed)
caption = f"{ours}, against the training shape whose pictures look most alike; positive is better for each score."
results.save_table(chapter, gain, "against_retrieval", caption=caption)
luck = generalisation.advantage(scores, ours, "mean latent", seed=seed)
results.save_table(chapter, luck, "against_mean", caption="The same against the mean code.")

# %%
by_name = {e.name: i for i, e in enumerate(objects)}
shown = [by_name[name] for name in generalisation.extremes(scores, ours, "retrieval", 4)]
grid = {"truth": [artefacts.read_mesh_artefact(folder, objects[i]) for i in shown]}
labels = {"model": ours, "retrieval": "retrieval", "best code": "fitted latent"}
grid |= {label: [rows[name][i].mesh for i in shown] for label, name in labels.items()}
table = generalisation.wide(scores, "iou")
titles = [f"truth: {objects[i].category}" for i in shown]
titles += [f"{label}: IoU {table.loc[objects[i].name, name]:.2f}" for label, name in labels.items() for i in shown]
figure = figures.mesh_grid([mesh for row in grid.values() for mesh in row], titles, columns=len(shown), size=1.7)
caption = "The four unseen shapes on which the model beats retrieval by most (left), and loses by most (right)."
results.save_figure(chapter, figure, "wins_and_losses", caption=caption, key=True)
views3d.save_view(chapter, {label: row[0] for label, row in grid.items()}, "win", caption="The first of them, to turn.")

# %% [markdown]
# ## By category
#
# Does the answer have the right category, judged by its nearest training shape? Only categories that training has.

# %%
kinds = study.category_table(rows, objects, train, known)
results.save_table(chapter, kinds, "category", caption="Category of the nearest training shape, by surface distance.")
categories = generalisation.advantage(scores, ours, "retrieval", seed=seed, within="category", by=("iou",))
caption = "IoU per category, what the model gains on retrieval first; a single shape has no interval."
results.save_table(chapter, categories.sort_values("gain", ascending=False), "by_category", caption=caption)

# %% [markdown]
# ## Whose error is it?
#
# The best code of an unseen shape, found with the truth in hand, says what the decoder can represent. What it misses
# to the floor is the decoder's loss; what the model's own code misses beside it is the image model's.

# %%
lost = generalisation.shares_of_error(scores, ours, seed=seed)
results.save_table(chapter, lost, "whose_error", caption="IoU lost, with bootstrap 95 % intervals over shapes.")
some = list(range(0, len(train), max(1, len(train) // examples)))[:examples]
codes = generalisation.by_views(model.predictor, seen[some], cameras, [max(view_counts)], seed=seed)[ours]
recalled = {ours: deepsdf.surfaces(model.decoder, codes, resolution)}
recalled = scoring.score_rows(recalled, folder, [train[i] for i in some], **drawn)
gaps = study.gaps(recalled, scores[scores.row == ours], seed=seed)
caption = f"Mean IoU of unseen shapes minus that of {len(some)} training shapes, with its interval."
results.save_table(chapter, gaps, "gap", caption=caption)

# %% [markdown]
# ## More views
#
# The same pictures, of which the model sees the first one, two, four or all eight.

# %%
views = scores[scores.row.str.startswith("diffusion")].assign(views=lambda t: t.row.str.extract(r"(\d+)").astype(int))
figure = score_figures.ranges(views, x="views", y="iou", hue="split", line=True)
results.save_figure(chapter, figure, "views", caption="IoU by number of views, bootstrap 95 % intervals over shapes.")
more = generalisation.advantage(scores, ours, generalisation.views_row(min(view_counts)), seed=seed)
results.save_table(chapter, more, "more_views", caption=f"{ours}, against a single view, shape by shape.")

# %% [markdown]
# ## The answer

# %%
means = scores.groupby("row")[["iou", "chamfer_l1"]].mean()
metrics = {"held_out": ours, "retrieval": "retrieval", "fitted_latent": "fitted latent", "mean_latent": "mean latent"}
metrics |= {"oracle": "oracle", "floor": "floor", "random_shape": "random shape"}
for name, row in metrics.items():
    results.record_metrics(chapter, {f"{name}_iou": means.iou[row], f"{name}_cd": means.chamfer_l1[row]})
whole = gain[gain.objects == "all unseen"].set_index("score").loc["iou"]
fault = lost[lost.objects == "all unseen"].set_index("lost by")
results.record_metrics(chapter, {f"gain_on_retrieval_{name}": whole[name] for name in ("gain", "low", "high")})
results.record_metrics(chapter, {"ahead_of_retrieval": int(whole.ahead)})
results.record_metrics(chapter, {"lost_by_decoder": fault.IoU["the decoder"], "lost_by_image_model": fault.IoU.iloc[1]})
word = "beats" if whole.low > 0 else "loses to" if whole.high < 0 else "cannot be told apart from"
results.say(
    chapter,
    f"**From {max(view_counts)} views the model {word} retrieval**: IoU {{held_out_iou:.3f}} against "
    "{retrieval_iou:.3f}, a gain of {gain_on_retrieval_gain:.3f} [{gain_on_retrieval_low:.3f}, "
    "{gain_on_retrieval_high:.3f}], ahead on {ahead_of_retrieval} of {unseen_shapes} unseen shapes. The best training "
    "shape would have {oracle_iou:.3f}, the best code {fitted_latent_iou:.3f}, the floor {floor_iou:.3f}. Of the IoU "
    "that is missing the decoder loses {lost_by_decoder:.3f}, the image model {lost_by_image_model:.3f}.",
)
encoder = features.load_encoder()
results.record_claims(chapter, ["G1"] if held else [])
results.finish(chapter, encoder=encoder.name, encoder_hash=encoder.sha256, inputs=model.keys)
