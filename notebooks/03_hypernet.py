# %% [markdown]
# # Hypernetworks: a code for all the weights
#
# **Claim.** A hypernetwork is a network that gives all the weights of a decoder for a short code. With a network of its
# own for each layer of the decoder it keeps a shape's hole; as one network for all layers (*monolithic*) it loses the
# hole even at a weight error of `1e-7`. And the one per layer samples good shapes without any image.
#
# **What would refute it:** two hypernetworks that keep or lose holes alike at the same weight error; samples without a
# surface, or as far from any shape as the mean of two decoders, which no network made.

# %% tags=["parameters"]
profile = "laptop"
data = "procedural"
artifacts = ""
report = ""
code_dim = 64
width = 128
steps = 620
batch = 64
rate = 5.0e-3
samples = 24
points = 500
resolution = 48
hole_resolution = 64
eight = 8
most = 0
seed = 0

# %%
from itertools import pairwise

import numpy as np
import pandas as pd
import torch

from flowsdf.report import figures, results
from flowsdf.studies import hypernetworks, pershape, weight_answers, weight_samples, weight_shapes, weight_surfaces
from flowsdf.studies import weight_autoencoder as errors
from flowsdf.train import checkpoint, fits

chapter = results.open_chapter("03_hypernet", globals())
prepared, decoders = chapter.artifacts_of("00_data"), chapter.artifacts_of("01_pershape")
shapes = weight_shapes.shapes_of(prepared, decoders, most=most)
apart = weight_shapes.shapes_of(prepared, decoders, most=most, run="independent")
vectors, store = shapes.vectors, chapter.artifacts / "fits"

# %% [markdown]
# ## The hypernetworks
#
# Each learns a short code for every shape together with the map from codes to weights, by the squared error of weights.
# The one per layer and the monolithic one have nearly as many parameters. The decoders of chapter `01` were all fitted
# from one first decoder, the *anchor*; the last hypernetwork learns decoders with *independent* starts, of which there
# are fewer, and the one before it as few that started from the anchor. Two more, of eight shapes each, tell whether
# the networks are able to bring any back.

# %%
layers = hypernetworks.layer_sizes(**shapes.size)
numbers = {"code_dim": code_dim, "width": width, "steps": steps, "batch": batch, "rate": rate, "seed": seed}
kinds = {
    "per layer": (shapes, layers),
    "monolithic": (shapes, [sum(layers)]),
    "per layer, fewer": (weight_shapes.first(shapes, len(apart.vectors)), layers),
    "per layer, independent": (apart, layers),
}
few = weight_shapes.first(shapes, eight)
alone = {"per layer, eight": (few, layers), "monolithic, eight": (few, [sum(layers)])}
jobs = {
    name: fits.Job(hypernetworks.fit_hypernetwork, (of.vectors,), numbers | {"heads": heads}, of.keys)
    for name, (of, heads) in (kinds | alone).items()
}
fitted = fits.fit_all(jobs, store=store)
of_eight = {name: weight_answers.field_ious(fitted.pop(name).tensors["vectors"], few.vectors, few) for name in alone}
checkpoint.write(chapter.artifacts / "outputs.safetensors", fitted["per layer"].tensors, fitted["per layer"].facts)
figure = figures.losses({name: fit.facts["curve"] for name, fit in fitted.items()})
results.save_figure(chapter, figure, "loss", caption="Training loss; the mean of all weights has one.")
lines = []
for name, fit in fitted.items():
    of, tensors = kinds[name][0], fit.tensors
    told = {key: value.mean() for key, value in errors.errors(of.vectors, tensors["vectors"]).items()}
    iou = weight_answers.field_ious(tensors["vectors"], of.vectors, of).mean()
    count = sum(part.numel() for key, part in tensors.items() if key.startswith("network."))
    lines.append({"hypernetwork": name, "parameters": count, "shapes": len(of.vectors), **told, "IoU": iou})
table = pd.DataFrame(lines).set_index("hypernetwork")
caption = "What comes back from the codes: mean cosine and squared error of the weights, and IoU with the own decoders."
results.save_table(chapter, table.reset_index(), "codes", caption=caption)
results.record_metrics(
    chapter,
    {f"{n.replace(',', '').replace(' ', '_')}_{k.lower()}": table[k][n] for n in kinds for k in ("mse", "IoU")}
    | {f"{n.replace(', ', '_').replace(' ', '_')}_iou": float(iou.mean()) for n, iou in of_eight.items()},
)
results.say(
    chapter,
    "The weights come back with a squared error of {per_layer_mse:.1e} per layer and {monolithic_mse:.1e} from one "
    "network, and an IoU of {per_layer_iou:.2f} and {monolithic_iou:.2f}; of fewer shapes with one anchor "
    "{per_layer_fewer_iou:.2f}, with independent starts {per_layer_independent_iou:.2f}. Eight shapes alone come back "
    "with {per_layer_eight_iou:.2f} and {monolithic_eight_iou:.2f}.",
)

# %% [markdown]
# ## Holes
#
# The shapes whose own decoder has one piece with one hole on two grids, and as many with none. Both hypernetworks
# learn these alone, far enough for an error of `1e-7`. Then each one's error is stretched to given sizes, the same for
# both, so that only its direction differs; *noise* is a random direction. A hypernetwork *keeps* holes if nine holed
# shapes in ten have one hole at `1e-7`, and *loses* them if fewer than half have. Noise of `1e-4` must lose them
# (positive control); the own decoders, on a third and finer grid, must keep them (negative control).

# %%
grids = (hole_resolution, 5 * hole_resolution // 4)
seen = [weight_surfaces.topologies(vectors, shapes, grid) for grid in grids]
holed, whole = (
    [i for i, pair in enumerate(zip(*seen, strict=True)) if all(t.components == 1 and t.genus == genus for t in pair)]
    for genus in (1, 0)
)
chosen = holed + whole[: len(holed)]
if holed:
    of, keys = vectors[chosen], shapes.keys | {"chosen": str(chosen)}
    jobs = {
        name: fits.Job(hypernetworks.fit_hypernetwork, (of,), numbers | {"heads": kinds[name][1]}, keys)
        for name in ("per layer", "monolithic")
    }
    wrong = {name: fit.tensors["vectors"] - of for name, fit in fits.fit_all(jobs, store=store).items()}
    wrong["noise"] = 0.01 * torch.randn(of.shape, generator=torch.Generator().manual_seed(seed))
    table = weight_surfaces.holes(of, wrong, shapes, holed=len(holed), resolution=hole_resolution)
    caption = "Share of holed shapes that keep their one hole, with 95 % interval, and of whole ones that get none."
    results.save_table(chapter, table, "holes", caption=caption)
    stretched = table[~table["as it is"]]
    figure = figures.curves(stretched, x="mse", y="holed", label="error", log=False, target=hypernetworks.KEPT)
    figure.axes[0].set_xscale("log")
    caption = (
        f"{len(holed)} shapes with one hole: the share that keeps it, by the weights' squared error. Dashed: kept."
    )
    results.save_figure(chapter, figure, "holes", caption=caption, key=True)
    share = stretched.set_index(["error", "mse"]).holed
    finer = hypernetworks.kept(weight_surfaces.genera(of, shapes, 3 * hole_resolution // 2), len(holed))["holed"]
    results.record_metrics(
        chapter,
        {"perlayer_keeps_genus": float(share["per layer", 1e-7] >= hypernetworks.KEPT), "finer_kept": finer}
        | {"monolithic_loses_genus": float(share["monolithic", 1e-7] < hypernetworks.LOST)}
        | {"genus_positive_control": float(share["noise", 1e-4] < hypernetworks.LOST)}
        | {"genus_negative_control": float(finer < hypernetworks.KEPT), "holed_shapes": len(holed)}
        | {f"{n.replace(' ', '')}_kept": share[n, 1e-7] for n in ("per layer", "monolithic", "noise")},
    )
    results.say(
        chapter,
        "Of {holed_shapes} shapes with one hole {perlayer_kept:.0%} keep it per layer, {monolithic_kept:.0%} from one "
        "network and {noise_kept:.0%} with noise, at the same error of `1e-7`.",
    )
    results.record_claims(chapter, ["H1"])

# %% [markdown]
# ## Half way between two codes
#
# The *barrier* of chapter `01`: how far the field half way between two codes is from the mean of the two fields, over
# how far either end is. Beside it the same for the mean of the two weight vectors, and how many of the shapes half way
# between codes are of one piece.

# %%
lines, pairs = [], list(pairwise(range(min(17, len(apart.vectors)))))
at = 2 * torch.rand(4000, 3, generator=torch.Generator().manual_seed(seed)) - 1
for name, fit in fitted.items():
    codes, own_vectors = fit.tensors["codes"], fit.tensors["vectors"]
    middle = hypernetworks.decoded(fit.tensors, torch.stack([(codes[a] + codes[b]) / 2 for a, b in pairs]))
    ends = pershape.restore(own_vectors, **shapes.size)
    by = {"codes": middle, "weights": None}
    barriers = {what: pershape.barrier(ends, pairs, at, half_way=of).mean() for what, of in by.items()}
    pieces = [told.components for told in weight_surfaces.topologies(middle, shapes, resolution)]
    lines.append({"hypernetwork": name, **barriers, "one piece": sum(n == 1 for n in pieces) / len(pieces)})
half = pd.DataFrame(lines).set_index("hypernetwork")
caption = "The barrier between two shapes, half way between codes and half way between weights; midpoints of one piece."
results.save_table(chapter, half.reset_index(), "half_way", caption=caption)
results.record_metrics(
    chapter,
    {"barrier_codes": half.codes["per layer"], "barrier_weights": half.weights["per layer"]}
    | {"barrier_codes_independent": half.codes["per layer, independent"], "one_piece": half["one piece"]["per layer"]}
    | {"barrier_codes_fewer": half.codes["per layer, fewer"]},
)
results.say(
    chapter,
    "With the anchor the barrier is {barrier_codes:.2f} between codes ({one_piece:.0%} of one piece) and "
    "{barrier_weights:.2f} between weights; with as few shapes as have independent starts it is "
    "{barrier_codes_fewer:.2f} between codes, and {barrier_codes_independent:.2f} without the anchor.",
)

# %% [markdown]
# ## Samples
#
# Codes from the Gaussian with the mean and covariance of the fitted ones; scores as in chapter `02`. Samples are *good*
# if fewer than a tenth have no surface, 1-NNA is below three quarters, and they are at most a quarter farther from the
# nearest training shape than training shapes are from one another. The last condition was added after a first run, in
# which means of two decoders passed. Training shapes with noise must be good (positive control); means of two decoders,
# and one shape again and again, must not (negative control).

# %%
rows = {}
for name in kinds:
    drawn = hypernetworks.gaussian(fitted[name].tensors["codes"], samples, seed=seed)
    rows[name] = hypernetworks.decoded(fitted[name].tensors, drawn)
rows |= weight_samples.trivial(vectors, samples, seed=seed)
rows["one shape"] = vectors[:1].expand(len(rows["means of two"]), -1)
table = weight_samples.scores(rows, shapes, prepared, resolution=resolution, points=points, seed=seed)
results.save_table(chapter, table, "scores", caption=f"Scores at {points} points a shape, 95 % intervals.")
by = table.set_index("row")
good = weight_samples.good(by).astype(float)
results.record_metrics(
    chapter,
    {"hypernet_samples_good": good["per layer"], "monolithic_samples_good": good["monolithic"]}
    | {"samples_positive_control": good["training shapes and noise"]}
    | {"samples_negative_control": max(good["means of two"], good["one shape"])}
    | {f"{n.replace(' ', '')}_1nna": by["1-nna mean"][n] for n in ("per layer", "monolithic", "means of two")}
    | {f"{n.replace(' ', '')}_failed": int(by.failed[n]) for n in ("per layer", "monolithic")}
    | {f"{n.replace(' ', '')}_new": float(by.new[n]) for n in ("per layer", "means of two") if np.isfinite(by.new[n])},
)
results.say(
    chapter,
    "Of {samples} samples {perlayer_failed} have no surface per layer, {monolithic_failed} from one network; 1-NNA "
    "is {perlayer_1nna:.2f} and {monolithic_1nna:.2f}, and {meansoftwo_1nna:.2f} for means of two decoders.",
)
if {"perlayer_new", "meansoftwo_new"} <= set(chapter.metrics):
    results.say(
        chapter,
        "The samples of the one per layer are {perlayer_new:.2f} times as far from the nearest training shape as "
        "training shapes are from their nearest other, means of two decoders {meansoftwo_new:.2f} times.",
    )

# %%
shown = ("per layer", "monolithic", "per layer, independent", "training shapes")
of = {name: rows[name] for name in shown}
drawn, titles, columns = weight_samples.gallery(of, shapes, count=6, resolution=resolution)
figure = figures.mesh_grid(drawn, titles, columns=columns, size=1.6)
results.save_figure(chapter, figure, "samples", caption="Samples without any image, and training shapes.", key=True)

# %%
results.record_claims(chapter, ["H2"])
results.finish(chapter, inputs=shapes.keys)
