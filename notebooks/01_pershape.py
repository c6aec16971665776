# %% [markdown]
# # One decoder a shape: the cloud of weights
#
# **Claim.** Decoders that all start from one anchor stay close to it: their weight vectors are nearly parallel, most of
# what differs is spread thinly, and weights interpolate to coherent shapes. ReLU decoders bear more noise than SIRENs.
#
# **What would refute it:** decoders with independent starts that are as parallel, or interpolate as well; or noise that
# destroys a ReLU decoder as early as a SIREN.

# %% tags=["parameters"]
profile = "laptop"
data = "procedural"
artifacts = ""
report = ""
most = 100
width = 128
depth = 4
anchor_steps = 2400
steps = 650
points_per_step = 512
anchor_rate = 2.0e-3
rate = 1.0e-3
sine_rate = 3.0e-4
stride = 25
controls = 50
sines = 32
noised = 16
resolution = 64
seed = 0

# %%
from itertools import pairwise

import numpy as np
import pandas as pd
import torch

from flowsdf.data import artefacts
from flowsdf.evaluation import diagnostics, weight_cloud
from flowsdf.geometry.extract import extract
from flowsdf.models.pershape import PerShape
from flowsdf.report import figures, results
from flowsdf.studies import deepsdf, pershape, weight_space
from flowsdf.train import checkpoint, fits

chapter = results.open_chapter("01_pershape", globals())
folder, store = chapter.artifacts_of("00_data"), chapter.artifacts / "fits"
train = artefacts.usable_shapes(folder, "train")
train = deepsdf.enough(train[:most] if most else train)
points, sdf = deepsdf.as_tensors(*artefacts.read_samples(folder, train))
keys = {e.name: e.stages["sdf"].key for e in train}

# %% [markdown]
# ## The decoders
#
# A point's 39 encoded numbers go through four layers of 128 to a distance; with sines the point itself does. All shapes
# train at once, as one batched program. The anchor is the decoder of the first shape.

# %%
relu, siren = ({"width": width, "depth": depth, "sine": sine} for sine in (False, True))
counted = PerShape(1).vectors().shape[1]
common = {"points_per_step": points_per_step, "seed": seed}
anchors = fits.fit_all(
    {
        name: fits.Job(
            pershape.fit_decoders,
            (points[:1], sdf[:1], pershape.starts(1, seed=seed, **kind)),
            common | kind | {"steps": anchor_steps, "rate": anchor_rate if name == "ReLU" else sine_rate},
            dict([*keys.items()][:1]),
        )
        for name, kind in (("ReLU", relu), ("SIREN", siren))
    },
    store=store,
)
plan = {
    "warm": (relu, anchors["ReLU"].tensors["vectors"], rate, len(train)),
    "independent": (relu, pershape.starts(min(controls, len(train)), seed=seed, **relu), rate, controls),
    "warm, SIREN": (siren, anchors["SIREN"].tensors["vectors"], sine_rate, sines),
}
runs = fits.fit_all(
    {
        name: fits.Job(
            pershape.fit_decoders,
            (points[:count], sdf[:count], start),
            common | kind | {"steps": steps, "rate": of},
            keys | {"start": name, "shapes": str(count)} | {n: a.facts["fingerprint"] for n, a in anchors.items()},
        )
        for name, (kind, start, of, count) in plan.items()
    },
    store=store,
)
vectors = {name: fit.tensors["vectors"] for name, fit in runs.items()}
decoders = {name: pershape.restore(vectors[name], **plan[name][0]) for name in runs}
for name, run in runs.items():
    checkpoint.write(chapter.artifacts / f"{name.split()[-1].lower()}.safetensors", run.tensors, run.facts)

# %%
held = (points[:, ::stride], sdf[:, ::stride])
errors = {n: pershape.error_per_shape(of, *(h[: len(vectors[n])] for h in held)).numpy() for n, of in decoders.items()}
anchor = pershape.restore(anchors["ReLU"].tensors["vectors"].expand(len(train), -1), **relu)
errors["the anchor for every shape"] = pershape.error_per_shape(anchor, *held).numpy()
table = pd.DataFrame(
    {
        "run": name,
        "median L1": np.median(error),
        "95th percentile": np.quantile(error, 0.95),
        "above 0.01": int((error > 0.01).sum()),
        "seconds": runs[name].facts["seconds"] if name in runs else 0.0,
    }
    for name, error in errors.items()
)
results.save_table(chapter, table, "fit", caption="L1 of the fitted decoders over shapes.")
figure = figures.losses({name: fit.facts["curve"] for name, fit in runs.items()})
results.save_figure(chapter, figure, "loss", caption="Training loss, a mean over shapes.")
results.record_metrics(
    chapter,
    {"pershape_parameters": counted, "pershape_loss_median": np.median(errors["warm"])}
    | {"pershape_loss_p95": np.quantile(errors["warm"], 0.95)}
    | {"pershape_loss_failures": int((errors["warm"] > 0.01).sum())},
)

# %% [markdown]
# ## The cloud
#
# Cosines between weight vectors, and where their variance lies. Independent starts are the control.

# %%
arrays = {name: of.double().numpy() for name, of in vectors.items()}
cosines = {name: diagnostics.pairwise_cosine(of) for name, of in arrays.items()}
norms = {name: weight_cloud.norms(of) for name, of in arrays.items()}
central = weight_space.central_shapes(arrays["warm"], train)
table = pd.DataFrame(
    {
        "run": name,
        **{f"cosine ({k})": v for k, v in cosines[name].items()},
        **{f"norm ({k})": v for k, v in norms[name].items()},
        "effective rank": weight_cloud.effective_rank(weight_cloud.spectrum(of)),
        "constant weights": weight_cloud.still_coordinates(of),
    }
    for name, of in arrays.items()
)
results.save_table(chapter, table, "cloud", caption="The weight vectors of every run.")
results.save_table(chapter, central, "central", caption="The weight vectors nearest to the mean of all, by cosine.")
results.record_metrics(
    chapter,
    {f"weight_cosine_{k}": v for k, v in cosines["warm"].items()}
    | {f"weight_norm_{k}": v for k, v in norms["warm"].items()}
    | {"independent_cosine_mean": cosines["independent"]["mean"]}
    | {"central_cosine_to_mean": central["cosine to the mean"].mean()}
    | {f"variance_top_{n}": weight_cloud.coordinate_share(arrays["warm"], n) for n in (10, 1000, 10_000, 25_000)}
    | {"constant_dimensions": weight_cloud.still_coordinates(arrays["warm"][:199])}  # as many as in the thesis
    | {"implied_weight_std": weight_cloud.deviation_of_a_coordinate(0.9606, 13.39, counted)},
)
results.say(
    chapter,
    "The mean cosine is {weight_cosine_mean:.4f} from one anchor and {independent_cosine_mean:.4f} from independent "
    "starts; the median L1 is {pershape_loss_median:.5f}.",
)

# %% [markdown]
# ## Noise
#
# Gaussian noise on every weight, in units of the root mean square of its layer's weights. A decoder *bears* noise while
# the mean IoU with its own shape without noise stays above one half; between the sizes below on a straight line.

# %%
at = 2 * torch.rand(10_000, 3, generator=torch.Generator().manual_seed(seed)) - 1
sigmas = (0.0, 0.02, 0.05, 0.1, 0.17, 0.25, 0.34, 0.45, 0.6)
kept = {n: decoders[n].like(vectors[n][:noised]) for n in ("warm", "warm, SIREN")}
lines = {n: weight_space.under_noise(of, at, sigmas, seed=seed) for n, of in kept.items()}
noise = pd.DataFrame({"run": n, **line} for n, of in lines.items() for line in of)
results.save_table(chapter, noise, "noise", caption="Mean IoU with the same decoder without noise.")
figure = figures.curves(noise, x="sigma", y="IoU", label="run", log=False, target=0.5)
results.save_figure(chapter, figure, "noise", caption="IoU with the noiseless shape; warm is ReLU.", key=True)
named = {"noise_tolerance_relu": "warm", "noise_tolerance_siren": "warm, SIREN"}
results.record_metrics(chapter, {name: weight_space.borne(lines[run]) for name, run in named.items()})

# %% [markdown]
# ## Half way
#
# The barrier between two decoders: how far the field of the mean weights is from the mean of the fields, over half of
# what the fields differ. Weights *interpolate* when it is below one on average. With the units of each decoder in a
# random order, which changes no shape, they must not (negative control); brought back into the order nearest to the
# first one's, a SIREN's also into the signs, they must again (positive control).

# %%
used = min(noised + 1, *map(len, arrays.values()))
pairs, few, orders, lines = list(pairwise(range(used))), at[:4000], {}, []
for name, of in arrays.items():
    orders[name] = weight_space.reordered(of[:used], width=width, depth=depth, sine=plan[name][0]["sine"], seed=seed)
    for order, rows in orders[name].items():
        barrier = pershape.barrier(decoders[name].like(torch.from_numpy(rows).float()), pairs, few).mean()
        cosine = diagnostics.pairwise_cosine(rows)["mean"]
        lines.append({"run": name, "units": order, "cosine": cosine, "barrier": float(barrier)})
table = pd.DataFrame(lines)
results.save_table(chapter, table, "interpolation", caption="Cosines and barriers, before and after alignment.")
barriers = table.set_index(["run", "units"]).barrier
results.record_metrics(
    chapter,
    {"interpolation_needs_anchor": float(barriers["warm", "as fitted"] < 1 <= barriers["independent", "as fitted"])}
    | {"interpolation_positive_control": float(barriers["warm", "mixed, aligned"] < 1)}
    | {"interpolation_negative_control": float(barriers["warm", "mixed"] < 1)}
    | {"barrier_warm": barriers["warm", "as fitted"], "barrier_independent": barriers["independent", "as fitted"]}
    | {"barrier_aligned": barriers["independent", "aligned"]},
)
results.say(
    chapter,
    "The barrier is {barrier_warm:.2f} from one anchor, {barrier_independent:.2f} from independent starts, and "
    "{barrier_aligned:.2f} after those are aligned.",
)

# %% [markdown]
# ## Half way, by shapes
#
# A shape half way between two is more like either than they are like each other. So the mean weights of two decoders
# are held to the IoU of the two, which the lesser of the two IoUs with the mean must exceed; *between* is the share of
# pairs that pass. That is less than a shape to be proud of: the last figure draws one, with what is left half way.

# %%
ways = {"one anchor": orders["warm"]["as fitted"]}
ways |= {"independent": orders["independent"]["as fitted"], "aligned": orders["independent"]["aligned"]}
table = pd.DataFrame({"weights": n, **weight_space.half_way(decoders["warm"], of, at)} for n, of in ways.items())
results.save_table(chapter, table, "half_way", caption="IoU of the ends, and of the farther one with what is half way.")
by = table.set_index("weights")
half_way = {f"half_way_iou_{name.replace(' ', '_')}": by.farther[name] for name in ways}
results.record_metrics(chapter, half_way | {"ends_iou": by.ends["one anchor"]})
results.say(
    chapter,
    "Two decoders have an IoU of {ends_iou:.2f}, and half way between them the IoU with the farther one is "
    "{half_way_iou_one_anchor:.2f} from one anchor, {half_way_iou_independent:.2f} from independent starts, "
    "{half_way_iou_aligned:.2f} after those are aligned.",
)

# %%
ways = {n: deepsdf.path(*vectors[of][:2], 5) for n, of in (("one anchor", "warm"), ("independent", "independent"))}
meshes = [extract(f, resolution).mesh for of in ways.values() for f in pershape.fields(decoders["warm"].like(of))]
titles = [f"{name}, {step}" for name in ways for step in ("start", "1/4", "1/2", "3/4", "end")]
figure = figures.mesh_grid(meshes, titles, columns=5, size=1.8)
results.save_figure(chapter, figure, "interpolation", caption="The straight way between two weight vectors.")

# %%
results.record_claims(chapter, ["P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P10"])
results.finish(chapter, inputs=keys)
