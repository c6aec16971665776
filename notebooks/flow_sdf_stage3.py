# %% [markdown]
# # Shading, where silhouettes agree
#
# **Claim.** With the brightness of a matt surface beside the silhouette, a sphere and a box of the same outline are
# told apart, and normals become right. Geometry from images alone stays less precise than from distances.
#
# **What would refute it:** normals that are no better than after the same steps without shading, or look-alikes that
# are confused; or shapes from images that are as near to the truth as those from distances.

# %% tags=["parameters"]
profile = "laptop"
data = "procedural"
artifacts = ""
report = ""
epochs = 15
rate = 3.0e-4
images_per_step = 2
temperature = 0.02
eikonal = 0.1
shading = 10.0
distance_steps = 600
points = 20000
resolution = 64
surface_points = 3000
volume_points = 20000
seed = 0

# %%
import numpy as np
import pandas as pd
import torch

from flowsdf.evaluation.few_values import shapes_interval
from flowsdf.geometry.extract import extract
from flowsdf.geometry.render import rays_of
from flowsdf.models.deepsdf import field
from flowsdf.models.flow_sdf import IMAGE_SIZE
from flowsdf.report import figures, results, views3d
from flowsdf.studies import flow_sdf, image_losses, scoring, silhouettes, solid_errors, solids
from flowsdf.train import checkpoint, fits

chapter = results.open_chapter("flow_sdf_stage3", globals())
store = chapter.artifacts / "fits"
cnn, first = checkpoint.read(chapter.artifacts_of("flow_sdf_stage1") / "cnn.safetensors")
flow, before = checkpoint.read(chapter.artifacts_of("flow_sdf_stage2") / "flow.safetensors")
solid = solids.training_solids(first["shapes"], seed=first["solids_seed"])
seen, rays = solids.render_solids(solid), rays_of(IMAGE_SIZE, solids.DEPTHS)
inputs = {"stage 1": first["fingerprint"], "stage 2": before["fingerprint"]}

# %% [markdown]
# ## Training on
#
# The surface is where a ray first meets the field's zero; its brightness $a + (1 - a) \max(0, n \cdot l)$ is that of a
# matt surface lit from the camera, $n$ the field's slope. Both runs start from stage 2 and take the same steps; the
# second has no shading. A third network, the CNN's, is trained on exact distances instead of images; a fourth as the
# third, but at the steps, the batch and the rate that the CNN had for silhouettes, so that only what it learns from
# differs.

# %%
settings = {"batch": images_per_step, "rate": rate, "temperature": temperature, "eikonal": eikonal, "epochs": epochs}
at = np.random.default_rng(seed).uniform(-1, 1, (len(solid), points, 3))
sdf = torch.from_numpy(np.stack([s.field(p) for s, p in zip(solid, at, strict=True)])).float()
start = flow_sdf.untrained(seen.images, sphere=True, width=flow_sdf.width_of(cnn), seed=seed)
given = (start, seen.images, torch.from_numpy(at).float(), sdf)
numbers = {"steps": distance_steps, "batch": 10, "points_per_step": 512, "rate": 1.0e-3, "seed": seed}
alike = numbers | {"steps": first["steps"], "batch": first["batch"], "rate": first["rate"]}
jobs = {
    name: fits.Job(flow_sdf.fit_to_distances, given, of, inputs | {"points": str(points)})
    for name, of in (("distances", numbers), ("as many steps", alike))
}
for name, weight in (("with shading", shading), ("without", 0.0)):
    parameters = settings | {"shading": weight, "seed": seed}
    jobs[name] = fits.Job(flow_sdf.fit_through_images, (flow, *seen), parameters, inputs)
fitted = fits.fit_all(jobs, store=store)
by_distance, as_many = fitted.pop("distances"), fitted.pop("as many steps")
tensors = {"CNN, silhouettes": cnn, "flow, silhouettes": fitted["without"].tensors}
tensors |= {"flow, shading": fitted["with shading"].tensors, "CNN, distances": by_distance.tensors}
tensors |= {"CNN, distances, as many steps": as_many.tensors}
models = {name: flow_sdf.restore(t).requires_grad_(False) for name, t in tensors.items()}
codes = {name: flow_sdf.codes_of(model, seen.images, seed=seed) for name, model in models.items()}

# %%
figure = figures.losses({name: fit.facts["curve"] for name, fit in fitted.items()})
results.save_figure(chapter, figure, "loss", caption="Training loss; that with shading holds one term more.")

# %% [markdown]
# ## Normals and depth
#
# On the training views, where truth and prediction are both seen: the angle between normals and the gap in depth. A
# silhouette leaves both open inside its visual hull.

# %%
truth = solids.true_fronts(solid, rays, seen.directions)
fronts = {n: solid_errors.fronts(models[n].decoder, codes[n], rays, seen.directions) for n in codes}
errors = pd.concat(
    solid_errors.surface_errors(fronts[n], truth).assign(kind=[s.kind for s in solid], run=n) for n in codes
)
table = errors.groupby("run", sort=False)[["normal error", "depth error"]].mean()
box = errors[errors.kind == "box"].groupby("run")["normal error"].mean()
caption = "Mean angle between normals in degrees and mean gap in depth, in units of the frame."
results.save_table(chapter, table.assign(**{"of boxes": box}).reset_index(), "surfaces", caption=caption)
results.save_table(chapter, errors, "surface_errors", caption="The errors of every run and shape.")
normal, depth = table["normal error"], table["depth error"]
each = errors.set_index("run")["normal error"]
gained = shapes_interval((each["flow, silhouettes"] - each["flow, shading"].to_numpy()).to_numpy(), seed=seed)
results.record_metrics(
    chapter,
    {"normal_error_shading": normal["flow, shading"], "normal_error_silhouettes": normal["flow, silhouettes"]}
    | {"depth_error_shading": depth["flow, shading"], "depth_error_silhouettes": depth["flow, silhouettes"]}
    | {"normal_error_distances": normal["CNN, distances"], "depth_error_distances": depth["CNN, distances"]}
    | {"depth_error_hull": solid_errors.hull_depth_error(truth, rays)}
    | {"normal_gain": gained.estimate, "normal_gain_low": gained.low, "normal_gain_high": gained.high},
)
results.say(
    chapter,
    "Normals are {normal_error_shading:.1f} degrees off with shading and {normal_error_silhouettes:.1f} after the same "
    "steps without (a gain of {normal_gain:.1f} [{normal_gain_low:.1f}, {normal_gain_high:.1f}] over shapes), "
    "{normal_error_distances:.1f} trained on distances. Depth is {depth_error_shading:.3f} and "
    "{depth_error_silhouettes:.3f} off, trained on distances {depth_error_distances:.3f}; the front of the hull, "
    "which is all that a silhouette says, is {depth_error_hull:.3f} off.",
)

# %% [markdown]
# ## Look-alikes
#
# Two pairs with nearly or just the same outline: a ball and a box seen along its diagonal, a ball and an ellipsoid that
# reaches towards the camera. All four are among the solids that the networks learn from. They *are told apart* when
# the relief of each, its visible depth less the mean, is nearer to its own than to its twin's: the share below is 1 at
# its own, -1 at its twin's, and one relief for both gives shares that add up to nothing. Depth itself is no test, as
# neither outline nor shading says how far away a shape is. A network trained on distances must tell them apart
# (positive control), the same flow without shading must not (negative control).

# %%
last = slice(-4, None)
runs = ("flow, silhouettes", "flow, shading", "CNN, distances")
shares = {name: solid_errors.relief_towards(fronts[name][last], truth[last]) for name in runs}
kinds = [s.kind for s in solid[last]]
table = pd.DataFrame({"look-alike": kinds, "its twin": solid_errors.twins(kinds)} | shares)
caption = "Look-alikes: 1 where the visible relief is the shape's own, -1 where it is its twin's."
results.save_table(chapter, table, "lookalikes", caption=caption)
results.record_metrics(
    chapter,
    {"shading_separates": solid_errors.told_apart(fronts["flow, shading"][last], truth[last])}
    | {"shading_negative_control": solid_errors.told_apart(fronts["flow, silhouettes"][last], truth[last])}
    | {"shading_positive_control": solid_errors.told_apart(fronts["CNN, distances"][last], truth[last])}
    | {"least_share_shading": min(shares["flow, shading"]), "least_share_silhouettes": min(shares["flow, silhouettes"])}
    | {"least_share_distances": min(shares["CNN, distances"])},
)
results.say(
    chapter,
    "The least of the four shares is {least_share_shading:.2f} with shading, {least_share_silhouettes:.2f} without and "
    "{least_share_distances:.2f} trained on distances.",
)

# %%
shown = {"truth": truth} | {name: fronts[name] for name in runs[:2]}
pictures = [image for of in shown.values() for image in solids.shaded(of[last], rays, seen.directions[last])]
titles = [f"{name}: {kind}" for name in shown for kind in kinds]
figure = figures.image_grid([silhouettes.gray(i) for i in pictures], titles, columns=4, size=1.7)
caption = "Look-alikes: the true images, and what the flow makes of them without and with shading."
results.save_figure(chapter, figure, "lookalikes", caption=caption, key=True)

# %% [markdown]
# ## The solids themselves
#
# Every row against the exact solid. The visual hull is all that one silhouette says; the mean code is the same shape
# for every image; the floor is the truth held against itself.

# %%
rows = {name: [field(models[name].decoder, z) for z in codes[name]] for name in codes}
mean = codes["flow, shading"].mean(0)
rows["mean code"] = [field(models["flow, shading"].decoder, mean)] * len(solid)
rows["visual hull"] = [solid_errors.hull(m, d, rays) for m, d in zip(seen.inside, seen.directions, strict=True)]
drawn = {"surface_points": surface_points, "volume_points": volume_points}
scores = solid_errors.solid_scores(rows, solid, resolution=resolution, **drawn)
caption = f"Means over shapes, 95 % intervals; meshes at {resolution}^3, {surface_points:,} points."
results.save_table(chapter, scoring.summary(scores), "summary", caption=caption)
results.save_table(chapter, scores, "scores", caption="Every score of every row and shape.")
chamfer, iou = (scores.groupby("row")[name].mean() for name in ("chamfer_l1", "iou"))
results.record_metrics(
    chapter,
    {"distance_supervised_cd": chamfer["CNN, distances"], "image_supervised_cd": chamfer["CNN, silhouettes"]}
    | {"distance_supervised_iou": iou["CNN, distances"], "image_supervised_iou": iou["CNN, silhouettes"]}
    | {f"as_many_steps_{n}": of["CNN, distances, as many steps"] for n, of in (("cd", chamfer), ("iou", iou))}
    | {"flow_iou": iou["flow, silhouettes"], "shading_iou": iou["flow, shading"], "hull_iou": iou["visual hull"]}
    | {"mean_code_iou": iou["mean code"]},
)
results.say(
    chapter,
    "IoU with the solid: {image_supervised_iou:.3f} from silhouettes by the CNN, {as_many_steps_iou:.3f} from distances"
    " after as many steps and {distance_supervised_iou:.3f} after more; {flow_iou:.3f} by the flow, {shading_iou:.3f} "
    "with shading; the visual hull has {hull_iou:.3f}.",
)

# %%
looks = {name: image_losses.looks(models[name].decoder, codes[name]) for name in codes}
views = silhouettes.views_of(looks, solid, rays, seen.directions)
scores = silhouettes.view_scores(views, solid)
caption = "IoU of silhouettes by angle in degrees and kind, with 95 % intervals over shapes."
results.save_table(chapter, silhouettes.by_angle(scores), "novel_views", caption=caption)
boxes = scores[(scores.angle != 0) & (scores.kind == "box")].groupby("row").iou.mean()
results.record_metrics(
    chapter,
    {"novel_iou_box_silhouettes": boxes["flow, silhouettes"], "novel_iou_box_shading": boxes["flow, shading"]}
    | {"novel_iou_box_distances": boxes["CNN, distances"]}
    | {"novel_iou_box_as_many_steps": boxes["CNN, distances, as many steps"]},
)
results.say(
    chapter,
    "From the angles that no image showed, boxes have an IoU of {novel_iou_box_silhouettes:.3f} from silhouettes, "
    "{novel_iou_box_shading:.3f} with shading, and {novel_iou_box_distances:.3f} from distances with the same decoder, "
    "{novel_iou_box_as_many_steps:.3f} after only as many steps as the CNN had for silhouettes. What is missing with "
    "distances too is the network's, its training's or the drawing's, not the images'.",
)

# %%
pictures, titles = silhouettes.angle_pictures(views, "flow, shading", solid, rays)
figure = figures.image_grid(pictures, titles, columns=len(silhouettes.ANGLES), size=1.7)
caption = "After shading: sphere, box and ellipsoid. White is right, red only predicted, blue only true."
results.save_figure(chapter, figure, "novel_views", caption=caption)
turning = {f"truth: {s.kind}": extract(s.field, resolution).mesh for s in solid[-2:]}
turning |= {f"ours: {s.kind}": extract(rows["flow, shading"][i - 2], resolution).mesh for i, s in enumerate(solid[-2:])}
views3d.save_view(chapter, turning, "lookalikes", caption="Ball and deep ellipsoid: the truth, and what images gave.")

# %%
results.record_claims(chapter, ["F11", "F12"])
results.finish(chapter, inputs=inputs)
