# %% [markdown]
# # Weights through a short code and back: excellent numbers, broken meshes?
#
# **Claim.** An autoencoder brings a decoder's weights back with a cosine above `0.99`, and the meshes break all the
# same: what little is lost falls where it does harm, so that no aggregate of the weight error says what a mesh is
# worth.
#
# **What would refute it:** reconstructed weights whose meshes are whole; a weight error that predicts the mesh error;
# or a linear code of the same length, or the mean of all weights, with a cosine as high.

# %% tags=["parameters"]
profile = "laptop"
data = "procedural"
artifacts = ""
report = ""
hidden = 256
short_code = 12
eight = 8
steps = 480
batch = 32
rate = 1.0e-3
width = 192
layers = 4
heads = 6
diffusion_steps = 720
ema = 0.99
resolution = 64
most = 0
seed = 0

# %%
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib import pyplot as plt

from flowsdf.data import artefacts
from flowsdf.evaluation import collapse, diagnostics
from flowsdf.evaluation.detectors import near_zero
from flowsdf.evaluation.topology import telling
from flowsdf.report import figures, results
from flowsdf.studies import weight_answers, weight_shapes, weight_surfaces
from flowsdf.studies import weight_autoencoder as study
from flowsdf.studies.weight_samples import titled
from flowsdf.train import fits

chapter = results.open_chapter("10_weight_autoencoder", globals())
shapes = weight_shapes.shapes_of(chapter.artifacts_of("00_data"), chapter.artifacts_of("01_pershape"), most=most)
vectors, store = shapes.vectors, chapter.artifacts / "fits"
mean = vectors.mean(0).expand_as(vectors)

# %% [markdown]
# ## The codes
#
# Residuals from the mean of all weights go through three layers to a code and back through three. The codes have 128
# and 256 numbers, as in the thesis; a third code is as short for this number of shapes as 128 are for the thesis's, and
# a fourth has twice its numbers. The control has eight shapes: a network that could not bring those back would say
# nothing about codes.

# %%
dims = {"128": 128, "256": 256, "short": short_code, "twice": 2 * short_code}
numbers = {"width": hidden, "steps": steps, "batch": batch, "rate": rate, "seed": seed}
jobs = {
    name: fits.Job(study.fit_autoencoder, (vectors,), numbers | {"code_dim": size}, shapes.keys)
    for name, size in dims.items()
}
few = weight_shapes.first(shapes, eight)
jobs["eight"] = fits.Job(study.fit_autoencoder, (few.vectors,), numbers | {"code_dim": 128}, few.keys)
fitted = fits.fit_all(jobs, store=store)
of_eight = weight_answers.field_ious(fitted["eight"].tensors["vectors"], few.vectors, few)
back = {f"autoencoder, {name}": fitted[name].tensors["vectors"] for name in dims}
back |= {f"linear, {name}": study.by_rank(vectors, size) for name, size in dims.items() if size < len(vectors)}
back |= {"mean of all": mean, "the weights themselves": vectors}
figure = figures.losses({name: fit.facts["curve"] for name, fit in fitted.items()})
results.save_figure(chapter, figure, "loss", caption="Training loss; the mean of all weights has one.")

# %%
lines = []
for name, of in back.items():
    ious = weight_answers.field_ious(of, vectors, shapes)
    for number, (like, square) in enumerate(zip(*study.errors(vectors, of).values(), strict=True)):
        category = shapes.entries[number].category
        lines.append(
            {"row": name, "shape": number, "category": category, "cosine": like, "mse": square, "IoU": ious[number]}
        )
every = pd.DataFrame(lines)
results.save_table(
    chapter, every, "errors", caption="Every reconstruction: error of the weights, and IoU of the field."
)
table = every.groupby("row", sort=False).agg(
    cosine=("cosine", "mean"), least=("cosine", "min"), mse=("mse", "mean"), IoU=("IoU", "mean"), worst=("IoU", "min")
)
results.save_table(chapter, table.reset_index(), "codes", caption="Means and worst over shapes, with the null models.")
own = {name: fitted[name].tensors["codes"].numpy() for name in dims}
results.record_metrics(
    chapter,
    {f"ae_cosine_mean_{n}": table.cosine[f"autoencoder, {n}"] for n in dims}
    | {f"ae_cosine_min_{n}": table.least[f"autoencoder, {n}"] for n in dims}
    | {f"ae_mse_{n}": table.mse[f"autoencoder, {n}"] for n in dims}
    | {f"ae_iou_{n}": table.IoU[f"autoencoder, {n}"] for n in dims}
    | {"ae_iou_eight": of_eight.mean()}
    | {"weight_cosine_mean": diagnostics.pairwise_cosine(vectors.numpy())["mean"]}
    | {"ae_code_cosine_mean": diagnostics.pairwise_cosine(own["128"])["mean"]}
    | {"mean_cosine": table.cosine["mean of all"], "mean_iou": table.IoU["mean of all"]},
)
results.say(
    chapter,
    "The cosine is {ae_cosine_mean_128:.4f} from 128 numbers and {ae_cosine_mean_short:.4f} from {short_code}; the "
    "mean of all weights already has {mean_cosine:.4f}. The IoU of the fields is {ae_iou_128:.3f} and "
    "{ae_iou_short:.3f}, from twice as many as these {ae_iou_twice:.3f}; a network of {eight} shapes brings them back "
    "with {ae_iou_eight:.3f}.",
)

# %% [markdown]
# ## Does the weight error say what the mesh is worth?
#
# Rank correlation over shapes, with a bootstrap 95 % interval. *Uninformative* means that the whole interval is within
# `0.3` of zero, for the squared error and for the cosine; an interval that holds `0.3` decides nothing. Noise of very
# different sizes, whose harm grows with it, must not come out so; errors and harm that have nothing to do with each
# other must.

# %%
told = weight_answers.error_against_iou(vectors, back["autoencoder, short"], shapes, seed=seed)
results.save_table(chapter, told, "correlation", caption="The shorter code: weight error against IoU.")
by = told.set_index("pairs")
idle = {name: near_zero(of.low, of.high, 0.3) for name, of in by.iterrows()}
results.record_metrics(
    chapter,
    {"weight_error_uninformative": min(idle["squared error"], idle["cosine"])}
    | {"correlation_positive_control": idle["nothing to do with each other"]}
    | {"correlation_negative_control": idle["noise of many sizes"]}
    | {"error_iou_correlation": by.estimate["squared error"], "cosine_iou_correlation": by.estimate["cosine"]},
)
results.say(
    chapter,
    "The rank correlation with the IoU is {error_iou_correlation:.2f} for the squared error and "
    "{cosine_iou_correlation:.2f} for the cosine.",
)
figure, axes = plt.subplots(figsize=(5, 3.5))
sns.scatterplot(every[every.row.str.startswith("auto")], x="mse", y="IoU", hue="row", ax=axes)
axes.set(xscale="log", xlabel=figures.WORDS["mse"])
sns.move_legend(axes, "upper left", bbox_to_anchor=(1, 1), title=None)
results.save_figure(chapter, figure, "correlation", caption="Weight error and IoU, shape by shape.", key=True)

# %% [markdown]
# ## Where the error does its damage
#
# One layer at a time is taken from the reconstruction, the rest from the true weights: *harm* is the IoU that is lost
# for each share of the squared error. Then what the code gets wrong of all biases, and of what idle units pass on; idle
# units are those that are zero at other points than the ones that judge. And as a measure of what either place bears,
# the whole error on either.

# %%
harmed, short = [], back["autoencoder, short"]
for name, part in study.parts(shapes.size).items():
    of = study.one_part(vectors, short, part)
    square = (vectors - of).square().sum() / (vectors - short).square().sum()
    ious = weight_answers.field_ious(of, vectors, shapes)
    lost = (1 - ious.mean()) / max(float(square), 1e-12)
    harmed.append({"part": name, "share of the error": float(square), "IoU": ious.mean(), "harm": lost})
results.save_table(chapter, pd.DataFrame(harmed), "parts", caption="Only this part of the shorter code, all else true.")
at = 2 * torch.rand(4000, 3, generator=torch.Generator().manual_seed(seed + 1)) - 1
one = (short - vectors).norm(dim=1)
bias = torch.nn.functional.one_hot(torch.tensor(vectors.shape[1] - 1), vectors.shape[1])
on_bias = weight_answers.field_ious(vectors + one[:, None] * bias, vectors, shapes).mean()
on_idle = weight_answers.field_ious(study.on_idle_units(vectors, one, at, shapes.size), vectors, shapes).mean()
some = {"biases": study.biases(shapes.size), "idle": study.idle_weights(vectors, at, shapes.size)}
left = {n: weight_answers.field_ious(torch.where(of, short, vectors), vectors, shapes).mean() for n, of in some.items()}
final, whole = harmed[-1]["harm"], 1 - weight_answers.field_ious(short, vectors, shapes).mean()
idle_share = torch.stack(study.idle_units(vectors, at, shapes.size)).float().mean().item()
apart = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(seed))
null = float(table.cosine["mean of all"])
broken = {row: study.broken(of.cosine.to_numpy(), of.IoU.to_numpy(), null) for row, of in every.groupby("row")}
far = study.errors(vectors, vectors + bias)["cosine"], weight_answers.field_ious(vectors + bias, vectors, shapes)
results.record_metrics(
    chapter,
    {"shared_error": study.shared_error(vectors, short), "idle_units": idle_share, "iou_error_on_bias": on_bias}
    | {"harm_of_final_bias": final, "harm_of_all": whole, "iou_error_on_idle": on_idle}
    | {"landing_positive_control": study.lands_differently(vectors, vectors + apart)}
    | {"landing_negative_control": study.lands_differently(vectors, vectors + apart[:1])}
    | {"ae_meshes_broken": broken["autoencoder, 128"], "broken_positive_control": study.broken(*far, null)}
    | {"broken_negative_control": broken["the weights themselves"]},
)
lands = study.lands_differently(vectors, short) and left["idle"] > 0.9 and left["biases"] < study.LOST
results.record_metrics(
    chapter, {"error_lands_differently": float(lands)} | {f"iou_own_{n}": v for n, v in left.items()}
)
results.say(
    chapter,
    "Of the hundredth of the weights with the largest errors two shapes share {shared_error:.0%}. The error on the "
    "final bias does a harm of {harm_of_final_bias:.2f} for its share, all of it together {harm_of_all:.2f}. What the "
    "code gets wrong of all biases leaves an IoU of {iou_own_biases:.3f}, of what idle units pass on ({idle_units:.0%} "
    "of all units are idle) {iou_own_idle:.3f}. All of the error would leave {iou_error_on_bias:.3f} on the final "
    "bias, and {iou_error_on_idle:.3f} on what idle units pass on.",
)

# %%
chosen = telling([artefacts.read_mesh_artefact(chapter.artifacts_of("00_data"), e) for e in shapes.entries])
which, kinds = zip(*((i, kind) for kind, numbers in chosen.items() for i in numbers), strict=True)
rows = {"own decoder": vectors} | {n: back[n] for n in ("autoencoder, 128", "autoencoder, short", "mean of all")}
titles = [f"{shapes.entries[i].category}: {kind}" for i, kind in zip(which, kinds, strict=True)]
titles += [f"{name}: {shapes.entries[i].category}" for name in list(rows)[1:] for i in which]
drawn = weight_surfaces.meshes(rows, shapes, which, resolution)
figure = figures.mesh_grid(drawn, titled(titles, drawn), columns=len(which), size=1.8)
results.save_figure(chapter, figure, "meshes", caption="The shapes' own decoders above, and what comes back.", key=True)

# %% [markdown]
# ## Diffusion on the codes
#
# A transformer of latents maps up to eight views to the code, the autoencoder that to weights. It *fails* when the
# decoded answers to the training images have lost more than half of the shape: a mean IoU below one half. The mean of
# all weights must fail (positive control), the autoencoder's own reconstructions must not (negative control). Beside
# it the same for eight shapes alone: what fails there too is no fault of their number.

# %%
settings = {"width": width, "layers": layers, "heads": heads, "batch": 16, "rate": rate, "ema": ema, "seed": seed}
settings |= {"steps": diffusion_steps}
asked = {"128": shapes, "eight": few}
jobs = {f"{name} from views": weight_shapes.code_job(some, fitted[name], settings) for name, some in asked.items()}
predictors, answers = fits.fit_all(jobs, store=store), {}
for (name, some), fit in zip(asked.items(), predictors.values(), strict=True):
    codes = weight_answers.answers({"": fit}, some, heads=heads, views=8, seed=seed)[2][""]
    answers[name] = study.decoded(fitted[name].tensors, codes)
facts = collapse.collapse(answers["128"].numpy(), vectors.numpy(), np.arange(len(vectors)))
iou, iou_eight = (weight_answers.field_ious(answers[n], some.vectors, some).mean() for n, some in asked.items())
results.record_metrics(
    chapter,
    {"ae_diffusion_iou": iou, "ae_diffusion_fails": float(iou < 0.5), "ae_diffusion_collapsed": facts["collapsed"]}
    | {"ae_diffusion_iou_eight": iou_eight}
    | {"ae_diffusion_positive_control": float(table.IoU["mean of all"] < 0.5)}
    | {"ae_diffusion_negative_control": float(table.IoU["autoencoder, 128"] < 0.5)},
)
results.say(
    chapter,
    "From views, the decoded codes have an IoU of {ae_diffusion_iou:.3f} with the own decoders, the right codes "
    "{ae_iou_128:.3f}; the mean of all weights has {mean_iou:.3f}. With {eight} shapes alone it is "
    "{ae_diffusion_iou_eight:.3f}, and {ae_iou_eight:.3f} from the right codes.",
)

# %%
results.record_claims(chapter, ["A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8"])
results.finish(chapter, encoder=True, inputs=shapes.keys)
