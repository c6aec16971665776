# %% [markdown]
# # From raw meshes to points, views and features
#
# **Claim.** Raw meshes - open shells, flipped faces, overlapping parts - become closed solids, exact signed distances,
# views and image features, shape by shape, with nearly all of them surviving.
#
# **What would refute it:** many rejected shapes, closings that lose surface, distances that disagree with an exact
# solid or with the reference library, or features whose nearest neighbours make no sense.

# %% tags=["parameters"]
profile = "laptop"
data = "procedural"
artifacts = ""
report = ""
training = 128
held_out = 16
held_out_categories = 8
most = 0
samples = 200000
reference_shapes = 3
reference_points = 30000
reference_scans = 100

# %%
import numpy as np
import pandas as pd

from flowsdf.conventions import CAMERA_DISTANCE
from flowsdf.data import artefacts, limited, pipeline, views
from flowsdf.data.listing import UNKNOWN
from flowsdf.geometry.mesh import normalise
from flowsdf.report import figures, results
from flowsdf.studies import dataset
from flowsdf.train import fits

chapter = results.open_chapter("00_data", globals())
folder = chapter.artifacts

# %% [markdown]
# ## The pipeline
#
# Every shape is read in a process of its own, scaled to the unit sphere, closed, sampled and rendered; a shape that
# any stage cannot use is set aside with its reason, and the others go on.

# %%
shapes = dataset.open_source(
    chapter.places.source,
    folder,
    training=training,
    held_out=held_out,
    held_out_categories=held_out_categories,
    most=most,
)
entries = pipeline.add_features(pipeline.prepare(shapes, folder, samples=samples), folder)
clean = artefacts.usable_shapes(folder)
stages = dataset.stage_table(entries, folder)
results.save_table(chapter, stages, "pipeline", caption="Shapes, time and bytes at every stage.")

# %%
rejected = dataset.rejections(entries)
results.save_table(chapter, rejected, "rejected", caption="Every shape that was set aside, and why.")
private = [(e.name, e.file, e.licence) for e in clean if not e.redistributable]
if private:
    caption = "Their licence, or none, does not let pictures of them be passed on: `make publish` refuses this run."
    results.save_table(
        chapter, pd.DataFrame(private, columns=["shape", "file", "licence"]), "licences", caption=caption
    )
splits = pd.DataFrame([(e.split, e.category) for e in clean], columns=["split", "category"])
counts = splits.groupby("split").category.agg(shapes="size", categories="nunique").reset_index()
moved = sum(e.split != shape.split for e, shape in zip(entries, shapes, strict=True))
caption = f"Shapes and categories of each split; near-duplicates share one, for which {moved} shapes were moved."
results.save_table(chapter, counts, "splits", caption=caption)

# %%
size = stages.set_index("stage")["megabytes"] * 1e6
seconds = stages.set_index("stage")["seconds a shape"]
points, sdf = artefacts.read_samples(folder, clean[:1])
radii = [np.linalg.norm(artefacts.read_mesh_artefact(folder, e).vertices, axis=1).max() for e in clean]
near = np.abs(sdf[0][: len(sdf[0]) // 2]) < 0.25  # five of the wider deviations
results.record_metrics(
    chapter,
    {
        "shapes_in": len(entries),
        "shapes_clean": len(clean),
        "shapes_private": len(private),
        "sdf_points": len(sdf[0]),
        "sdf_near_share": float(near.sum() / len(sdf[0])),
        "bounding_radius": float(np.median(radii)),
        "views_per_shape": views.VIEWS,
        "view_size": views.VIEW_SIZE,
        "camera_distance": CAMERA_DISTANCE,
        "views_total": views.VIEWS * len(clean),
        "feature_dim": artefacts.read_features(folder, clean[:1]).shape[-1],
        "feature_bytes": int(size["features"]),
        "seconds_per_view": float(seconds["views"] / views.VIEWS),
        "sdf_bytes": int(size["sdf"]),
        "view_bytes": int(size["views"]),
        "source_hours_stated": 13 + (1 + 13 + 140) / 60,
    },
)
results.say(
    chapter,
    "What did the thesis take? One of its texts says several thousand GPU-hours. The running times that it states, "
    "13 hours of rendering and three trainings of DeepSDF, add up to {source_hours_stated:.1f} hours.",
)

# %% [markdown]
# ## What goes in, what comes out
#
# The upper picture of each pair is the raw mesh, the lower one the closed solid.

# %%
front = np.array([[0.6, 0.45, 0.66]])
raw = {shape.uid: shape for shape in shapes}
shown = clean[:: max(1, len(clean) // 24)][:24]
picture = lambda mesh: views.render_views(mesh, front)[0]  # noqa: E731
raws = [normalise(limited.read_limited(raw[e.uid].path, raw[e.uid].root))[0] for e in shown]
tiles, titles = [], []
for start in range(0, len(shown), 8):
    row = shown[start : start + 8]
    blank = [np.zeros((views.VIEW_SIZE, views.VIEW_SIZE, 3), np.uint8)] * (8 - len(row))
    tiles += [*map(picture, raws[start : start + 8]), *blank]
    tiles += [*(picture(artefacts.read_mesh_artefact(folder, e)) for e in row), *blank]
    titles += [*(e.category for e in row), *[""] * (8 - len(row)), *(e.name for e in row), *[""] * (8 - len(row))]
figure = figures.image_grid(tiles, titles, columns=8, size=1.5)
caption = "Raw meshes in odd rows, their closed solids below; back faces are not drawn, so flipped faces show as holes."
results.save_figure(chapter, figure, "contact_sheet", caption=caption, key=True)

# %%
one = artefacts.read_images(folder, clean[min(9, len(clean) - 1)])
figure = figures.image_grid(list(one[::4]), [f"view {i}" for i in range(0, 64, 4)], columns=8)
results.save_figure(
    chapter, figure, "views", caption="Sixteen of the 64 views of one shape, top to bottom of the sphere."
)

# %% [markdown]
# ## What the closing keeps
#
# *Kept* is the share of the input's area within one voxel of the output solid; a *sheet* is a face that belongs to no
# solid and came out about one voxel thick; a *leak* is volume behind holes a little wider than those that close. A
# closing reaches no void that is shut in, so a *cavity* within its solid would be an error of the closing's own.

# %%
closing = dataset.closing_table(clean, folder)
results.save_table(chapter, closing, "closing", caption="What the closing did to every shape.")
worst = {"kept_share": True, "sheet_share": False, "leak_share": False}
tables = {name: closing.sort_values(name, ascending=up).head(10) for name, up in worst.items()}
by_name = {entry.name: entry for entry in clean}
for name, table in tables.items():
    if np.ptp(closing[name]) < 0.0005:
        results.say(chapter, f"No shape is worse than the others by {name.replace('_', ' ')}.")
        continue
    meshes = [artefacts.read_mesh_artefact(folder, by_name[shape]) for shape in table["shape"]]
    titles = [f"{row.shape} {getattr(row, name):.3f}" for row in table.itertuples()]
    figure = figures.image_grid(list(map(picture, meshes)), titles, columns=10)
    results.save_figure(chapter, figure, f"worst_{name}", caption=f"The ten worst shapes by {name.replace('_', ' ')}.")
results.record_metrics(chapter, dataset.closing_counts(closing) | {"closing_seconds": float(seconds["watertight"])})
results.say(
    chapter,
    "{closing_leaks} shapes leak, {closing_sheets} hold sheets and {closing_cavities} have cavities, of {shapes_clean} "
    "clean ones; {closing_one_piece_share:.0%} are of one piece.",
)

# %% [markdown]
# ## Against the exact solid, and against the reference library
#
# The built-in shapes know their own occupancy, which no mesh enters; mesh-to-sdf knows only a scan of a mesh. Next to
# the surface it is known to get some signs wrong, so there the exact solids decide; elsewhere signs must agree.

# %%
if data == "procedural":
    exact = dataset.exact_check(clean, folder)
    results.save_table(chapter, exact, "exact", caption="Watertight meshes against the generators' exact solids.")
    means = exact[["surface error (voxels)", "sign error", "volume ratio"]].mean()
    results.record_metrics(
        chapter, dict(zip(["exact_surface_voxels", "exact_sign_error", "exact_volume_ratio"], means, strict=True))
    )

# %%
checked = clean[:reference_shapes]
fit = fits.fit(
    dataset.compare_backends,
    [(folder, entry, reference_points) for entry in checked],
    store=folder / "fits",
    name="backends",
    parameters={"scans": reference_scans},
    inputs={entry.name: f"{entry.stages['sdf'].key} {reference_points}" for entry in checked},
)
gaps = dataset.agreement(fit.tensors["pairs"].numpy(), [e.name for e in checked])
caption = f"Our exact distances beside mesh-to-sdf's on the same points, from {reference_scans} scans of each shape."
results.save_table(chapter, gaps, "backends", caption=caption)
columns = ["median gap", "wrong signs near", "wrong signs elsewhere"]
results.record_metrics(chapter, {f"reference_{c.replace(' ', '_')}": float(gaps[c].mean()) for c in columns})

# %% [markdown]
# ## What the features see
#
# Each view of a held-out shape of a known category takes the category of its nearest training view: by feature, by raw
# pixels, and by chance. From the same viewpoints pixels lie on pixels, and raw ones do well; a feature is worth
# something if it still knows the kind of thing from between those viewpoints.

# %%
train = [e for e in clean if e.split == "train"]
held = [e for e in clean if e.split == "held_out_shape"]
gallery = np.arange(0, 64, 8)
labels = [e.category for e in train for _ in gallery]
truth = np.array([e.category for e in held for _ in gallery])
names = np.array([e.category for e in train])
flat = lambda array: array.reshape(-1, array.shape[-1])  # noqa: E731
reads = {
    "features": lambda shapes, views: flat(artefacts.read_features(folder, shapes)[:, views]),
    "pixels": lambda shapes, views: flat(dataset.pixel_features(folder, shapes, views)),
}
if held and len({*names} - {UNKNOWN}) > 1:
    top1 = {"category_top1_chance": float(np.mean([(names == t).mean() for t in truth]))}
    for kind, read in reads.items():
        known = read(train, gallery)
        for where, shown in (("", gallery), ("_between", gallery + 4)):
            nearest = dataset.nearest_categories(read(held, shown), known, labels)
            top1[f"category_top1_{kind}{where}"] = float((np.array(nearest) == truth).mean())
    results.record_metrics(chapter, top1)
    results.say(
        chapter,
        "Category top-1 from the same viewpoints: features {category_top1_features:.2f}, raw pixels "
        "{category_top1_pixels:.2f}; from between them: {category_top1_features_between:.2f} and "
        "{category_top1_pixels_between:.2f}; chance {category_top1_chance:.2f}.",
    )
else:
    results.say(chapter, "Without held-out shapes of two known categories there is nothing to compare.")

# %%
results.record_claims(chapter, ["D1", "D2", "D3", "D4", "D5", "D6", "C1"])
results.finish(chapter, encoder=True, inputs={e.name: e.sha256 for e in entries})
