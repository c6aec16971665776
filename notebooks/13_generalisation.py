# %% [markdown]
# # Does it generalise?
#
# **Question.** The thesis looked at three objects its networks had never seen, and called their answers
# category-appropriate. Are the answers to unseen objects better than what one gets for nothing: the training shape
# whose pictures look most alike?
#
# **What would refute "it generalises":** an interval of the difference to retrieval, over unseen shapes, that is not
# wholly on the better side. **What would show whose fault it is:** codes for the same shapes that are found with the
# truth in hand.
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
decoder_steps = 6000
points_per_step = 128
predictor_steps = 1200
view_counts = [1, 2, 4, 8]
scored = 6
examples = 8
latent_steps = 60
resolution = 128
surface_points = 30000
volume_points = 100000
seed = 0

# %%
import torch

from flowsdf.data import artefacts
from flowsdf.geometry.camera import fibonacci_sphere
from flowsdf.report import figures, results, score_figures, views3d
from flowsdf.studies import deepsdf, generalisation, scoring
from flowsdf.studies import unseen as study
from flowsdf.studies.latent_fit import fit_latents
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
    sizes = {"decoder_steps": round(share * decoder_steps), "predictor_steps": round(share * predictor_steps)}
    sizes |= {"points_per_step": points_per_step}
    model = generalisation.trained(folder, train, seen, cameras, store=store, seed=seed, **sizes)
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
# What costs nothing: the mean code, the first training shape (*anchor*), any of them, the one whose pictures from the
# same angles look most alike (*retrieval*: it is told the poses, as the model is), or from any angle (*without poses*).
# What needs the truth: the training shape nearest to it by surface (*oracle*), a code searched for with it (*fitted
# latent*). The model with one to eight views. And the *floor*, the truth sampled again. Other views are drawn than in
# chapter 12, so that single answers may differ.

# %%
known = scoring.clouds(folder, train)
distances = scoring.cloud_distances(scoring.clouds(folder, objects), known)
pictures = torch.as_tensor(artefacts.read_features(folder, objects))
given = study.inputs(pictures, cameras, views=max(view_counts), seed=seed)
choices = study.training_choices(given, seen, distances, seed=seed)
some = list(range(0, len(train), max(1, len(train) // examples)))[:examples]
searched = [*objects, *(train[i] for i in some)]
numbers = {"steps": latent_steps, "seed": seed}
inputs = model.keys | {f"{i}": e.stages["sdf"].key for i, e in enumerate(searched)}
data_of = model.tensors, *deepsdf.as_tensors(*artefacts.read_samples(folder, searched))
best = fits.fit(fit_latents, *data_of, store=store, name="best", parameters=numbers, inputs=inputs)
best = best.tensors["latents"].to(model.codes.device)
coded = {"mean latent": model.codes.mean(0, keepdim=True)}
coded |= generalisation.by_views(model.predictor, pictures, cameras, view_counts, seed=seed)
coded |= {"fitted latent": best[: len(objects)]}
rows = study.answers(model.decoder, coded, choices, folder, train, objects, resolution=resolution)
if data != "procedural":
    transferred = generalisation.from_built_in_shapes(given.several, seed=seed, resolution=resolution)
    rows |= {"trained on built-in shapes": transferred} if transferred else {}
scores = scoring.score_rows(rows, folder, objects, **drawn)

# %%
figure = score_figures.ranges(scores, x="iou", y="row", hue="split")
caption = "IoU: light dots are objects (in brackets how many), dark ones means, lines 95 % limits, cut at the edge."
results.save_figure(chapter, figure, "rows", caption=caption, key=True)

# %% [markdown]
# ## Does it beat retrieval?
#
# Both answers are scored on the same shape, so the difference is taken shape by shape, and its interval is over shapes.

# %%
gain = generalisation.advantage(scores, ours, "retrieval", seed=seed)
each = {row: of.sort_values("shape") for row, of in scores.groupby("row")}
over = gain[gain.objects == "all"].set_index("score")
whole, nearer = over.loc["iou"], over.loc["chamfer_l1"]
named = {"held_out": ours, "retrieval": "retrieval", "fitted_latent": "fitted latent", "mean_latent": "mean latent"}
named |= {"oracle": "oracle", "floor": "floor", "random_shape": "random shape"}
if len(held) > 1:
    for name, row in named.items():
        of = {"iou": each[row].iou, "cd": each[row].chamfer_l1, "f_005": each[row].f_005}
        results.record_metrics(chapter, {f"{name}_{score}": values for score, values in of.items()})
    results.record_metrics(chapter, {f"gain_on_retrieval_{name}": whole[name] for name in ("gain", "low", "high")})
    results.record_metrics(chapter, {f"cd_gain_on_retrieval_{name}": nearer[name] for name in ("gain", "low", "high")})
    results.record_metrics(chapter, {"ahead_of_retrieval": int(whole.ahead)})
    by_iou, by_distance = (
        "beats" if of.low > 0 else "loses to" if of.high < 0 else "cannot be told apart from" for of in (whole, nearer)
    )
    results.say(
        chapter,
        f"**By IoU the model with {max(view_counts)} views {by_iou} retrieval**: {{held_out_iou:.3f}} against "
        "{retrieval_iou:.3f}, a gain of {gain_on_retrieval_gain:.3f} [{gain_on_retrieval_low:.3f}, "
        "{gain_on_retrieval_high:.3f}], ahead on {ahead_of_retrieval} of {unseen_shapes} unseen shapes. **By "
        f"Chamfer-L1 it {by_distance} it**: {{held_out_cd:.3f}} against {{retrieval_cd:.3f}}, a gain of "
        "{cd_gain_on_retrieval_gain:.3f} [{cd_gain_on_retrieval_low:.3f}, {cd_gain_on_retrieval_high:.3f}]. The "
        "training shape nearest by surface has an IoU of {oracle_iou:.3f}, a code found with the truth in hand "
        "{fitted_latent_iou:.3f}, the floor {floor_iou:.3f}.",
    )
caption = f"{ours}, against the training shape whose pictures look most alike; a positive gain is better."
results.save_table(chapter, gain, "against_retrieval", caption=caption)
luck = generalisation.advantage(scores, ours, "mean latent", seed=seed)
results.save_table(chapter, luck, "against_mean", caption="The same against the mean code.")

# %%
by_name = {e.name: i for i, e in enumerate(objects)}
shown = [by_name[name] for name in generalisation.extremes(scores, ours, "retrieval", 4)]
grid = {"truth": [artefacts.read_mesh_artefact(folder, objects[i]) for i in shown]}
labels = {"model": ours, "retrieval": "retrieval", "fitted": "fitted latent"}
grid |= {label: [rows[name][i].mesh for i in shown] for label, name in labels.items()}
table = generalisation.wide(scores, "iou")
titles = [f"truth: {objects[i].category}" for i in shown]
titles += [f"{label}: IoU {table.loc[objects[i].name, name]:.2f}" for label, name in labels.items() for i in shown]
figure = figures.mesh_grid([mesh for row in grid.values() for mesh in row], titles, columns=len(shown), size=1.7)
caption = "By how much the model gains on retrieval: the shapes with most on the left, with least on the right."
results.save_figure(chapter, figure, "wins_and_losses", caption=caption, key=True)
views3d.save_view(chapter, {label: row[0] for label, row in grid.items()}, "win", caption="The first of them.")

# %% [markdown]
# ## By category
#
# Does the answer have the right category, judged by its nearest training shape? Only categories that training has.

# %%
kinds = study.category_table(rows, objects, train, known)
results.save_table(chapter, kinds, "category", caption="Category of the training shape nearest by surface, 95 % limits")
categories = generalisation.advantage(scores, ours, "retrieval", seed=seed, within="category", by=("iou",))
caption = "IoU per category, what the model gains on retrieval first; a single shape has no interval."
results.save_table(chapter, categories.sort_values("gain", ascending=False), "by_category", caption=caption)

# %% [markdown]
# ## Whose error is it?
#
# What the code found with the truth in hand lacks to the floor is at most the decoder's loss, since the search may end
# short of the best code; what the model's own code lacks beside it is at least the image model's. How short the search
# ends shows on training shapes, whose own codes are known.

# %%
lost = generalisation.shares_of_error(scores, ours, seed=seed)
results.save_table(chapter, lost, "whose_error", caption="IoU lost, with 95 % intervals over shapes.")
codes = {ours: generalisation.by_views(model.predictor, seen[some], cameras, [max(view_counts)], seed=seed)[ours]}
codes |= {"own code": model.codes[some], "fitted latent": best[len(objects) :]}
recalled = {name: deepsdf.surfaces(model.decoder, code, resolution) for name, code in codes.items()}
recalled = scoring.score_rows(recalled, folder, [train[i] for i in some], **drawn)
caption = f"{len(some)} training shapes: their own codes, those found by the same search, and those from views."
results.save_table(chapter, scoring.summary(recalled), "search", caption=caption)
gaps = study.gaps(recalled[recalled.row == ours], scores[scores.row == ours], seed=seed)
results.save_table(
    chapter, gaps, "gap", caption=f"{ours}: mean IoU of unseen shapes minus that of these training shapes."
)
if held:
    fault, search = lost[lost.objects == "all"].IoU.to_list(), recalled.groupby("row").iou.mean()
    results.record_metrics(chapter, {"lost_by_decoder": fault[0], "lost_by_image_model": fault[1]})
    results.record_metrics(chapter, {"search_iou": search["fitted latent"], "own_code_iou": search["own code"]})
    results.say(
        chapter,
        "Of the IoU that is missing at most {lost_by_decoder:.3f} is the decoder's and at least "
        "{lost_by_image_model:.3f} the image model's. On training shapes the search reaches {search_iou:.3f} where "
        "their own codes have {own_code_iou:.3f}.",
    )

# %% [markdown]
# ## More views
#
# The same pictures, of which the model sees the first one, two, four or all eight.

# %%
views = scores[scores.row.str.startswith("diffusion")].assign(views=lambda t: t.row.str.extract(r"(\d+)").astype(int))
figure = score_figures.ranges(views, x="views", y="iou", hue="split", line=True)
results.save_figure(chapter, figure, "views", caption="IoU by number of views, 95 % intervals over shapes.")
more = generalisation.advantage(scores, ours, generalisation.views_row(min(view_counts)), seed=seed)
results.save_table(chapter, more, "more_views", caption=f"{ours}, against a single view, shape by shape.")

# %% [markdown]
# ## Every score

# %%
caption = f"{len(objects)} objects: means over shapes, 95 % intervals."
results.save_table(chapter, scoring.summary(scores), "summary", caption=caption)
for split, group in scores.groupby("split", sort=False):
    caption = f"Split {split} alone; an interval over few shapes says little."
    results.save_table(chapter, scoring.summary(group), f"summary_{split}", caption=caption)
results.save_table(chapter, scores, "scores", caption="Every score of every object and row.")
results.record_claims(chapter, ["G1"] if len(held) > 1 else [])
results.finish(chapter, encoder=True, inputs=model.keys)
