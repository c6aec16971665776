# %% [markdown]
# # One picture, and sines
#
# **Claim.** A first network that maps one picture to the weights of a decoder, then a SIREN, succeeds in part. The
# thesis gives no number, and went over to ReLU decoders.
#
# **What would refute it:** answers that show the shape no better than the mean of all weights does; or SIREN weights
# that bear the same errors as ReLU weights, so that there was no reason to leave them.

# %% tags=["parameters"]
profile = "laptop"
data = "procedural"
artifacts = ""
report = ""
width = 192
layers = 4
heads = 6
steps = 480
eight = 8
eight_steps = 1200
batch = 16
rate = 1.0e-3
ema = 0.99
ranked_resolution = 32
resolution = 64
seed = 0

# %%
import numpy as np
import pandas as pd
import torch

from flowsdf.evaluation.few_values import shapes_interval
from flowsdf.report import figures, results
from flowsdf.studies import weight_answers, weight_autoencoder, weight_samples, weight_shapes, weight_surfaces
from flowsdf.studies.weight_diffusion import PHASES
from flowsdf.train import fits

chapter = results.open_chapter("05_image_cond", globals())
prepared, decoders = chapter.artifacts_of("00_data"), chapter.artifacts_of("01_pershape")
sirens = weight_shapes.shapes_of(prepared, decoders, run="siren")
relus = weight_shapes.shapes_of(prepared, decoders, most=len(sirens.vectors))
families, store = {"SIREN": sirens, "ReLU": relus}, chapter.artifacts / "fits"

# %% [markdown]
# ## Two families, one network
#
# Decoders of two families for the same shapes: SIRENs, whose layers are sines of thirty times what they are given, and
# ReLU layers on an encoded point. For either, a diffusion transformer (that of chapter `06`) learns to say the weights
# from one view; the *blind* run is the same with views that say nothing. As a control it also learns eight SIRENs
# alone; for ReLU decoders chapter `06` has that.

# %%
settings = {"width": width, "layers": layers, "heads": heads, "steps": steps, "batch": batch, "rate": rate}
settings |= {"ema": ema, "seed": seed} | PHASES["06"]._asdict()
few = weight_shapes.first(sirens, eight)
jobs = {"eight SIRENs": weight_shapes.job(few, settings | {"steps": eight_steps})}
jobs |= {name: weight_shapes.job(of, settings) for name, of in families.items()}
jobs |= {f"{name}, blind": weight_shapes.job(weight_shapes.blind(of), settings) for name, of in families.items()}
fitted = fits.fit_all(jobs, store=store)
figure = figures.losses({name: fit.facts["curve"] for name, fit in fitted.items()})
results.save_figure(chapter, figure, "loss", caption="Training loss; the mean of all weights has one.")

# %%
codes, ranks, told, asked = {}, [], [], {"heads": heads, "views": 1, "seed": seed}
of_few = weight_answers.answers({"eight": fitted["eight SIRENs"]}, few, **asked)[2]["eight"]
for name, shapes in families.items():
    unseen = weight_shapes.blind(shapes)
    codes |= weight_answers.answers({name: fitted[name]}, shapes, **asked)[2]
    blind = weight_answers.answers({"blind": fitted[f"{name}, blind"]}, unseen, **asked)[2]["blind"]
    means = shapes.vectors.mean(0).expand_as(shapes.vectors)
    runs = {name: codes[name], f"{name}, blind": blind, f"{name}, mean of all": means}
    found = weight_answers.judged(runs, shapes, prepared, resolution=ranked_resolution)
    ranks.append(found[0])
    told.append(found[1])
table = pd.concat(told)
results.save_table(chapter, pd.concat(ranks), "ranking", caption="Where the own shape ranks, three ways.")
results.save_table(chapter, table, "collapse", caption="Answers to the training images, as in chapter 06.")

# %% [markdown]
# ## What an error does to either family
#
# The true weights with noise that is as large, weight by weight, as the error of the answers: an error of that size
# that knows nothing of shapes.

# %%
noise = torch.Generator().manual_seed(seed)
lines = []
for name, shapes in families.items():
    error = codes[name] - shapes.vectors
    relative = float((error.norm(dim=1) / shapes.vectors.norm(dim=1)).mean())
    of_mean = shapes.vectors.mean(0).expand_as(shapes.vectors)
    of_noise = shapes.vectors + error.square().mean(0).sqrt() * torch.randn(error.shape, generator=noise)
    cosine = weight_autoencoder.errors(shapes.vectors, codes[name])["cosine"].mean()
    ious = [weight_answers.field_ious(of, shapes.vectors, shapes) for of in (codes[name], of_mean, of_noise)]
    gain = shapes_interval(ious[0] - ious[1], seed=seed)
    lines.append(
        {"family": name, "cosine": cosine, "relative error": relative, "IoU": ious[0].mean(), "gain": gain.estimate}
        | {"low": gain.low, "high": gain.high, "IoU with noise": ious[2].mean()}
    )
errors = pd.DataFrame(lines).set_index("family")
caption = "Cosine to the own decoder, relative error, IoU of the answers, what they gain on the mean of all weights "
caption += "(95 %, paired by shape), and IoU of the true weights with as much noise."
helps = [f"with {name}s" for name in families if errors.low[name] > 0.01]
results.save_table(chapter, errors.reset_index(), "errors", caption=caption)
by = table.set_index("run")
results.record_metrics(
    chapter,
    {f"{n.lower()}_{k.lower().replace(' ', '_')}": errors[k][n] for n in families for k in errors.columns}
    | {f"{n.lower()}_own": by.own[n] for n in families}
    | {f"{n.lower()}_blind_own": by.own[f"{n}, blind"] for n in families}
    | {f"{n.lower()}_blind_iou": by.IoU[f"{n}, blind"] for n in families}
    | {"by_chance": 1 / len(sirens.vectors), "training_shapes": len(sirens.vectors)}
    | {f"{n.lower()}_mean_iou": by.IoU[f"{n}, mean of all"] for n in families}
    | {"eight_sirens_iou": float(weight_answers.field_ious(of_few, few.vectors, few).mean())},
)
learned = chapter.metrics["eight_sirens_iou"] > 0.5
alone = f"Eight SIRENs learned alone {'come back' if learned else 'do not come back either'}"
results.say(
    chapter,
    "On {training_shapes} training shapes the IoU from one picture is {siren_iou:.2f} for SIRENs and {relu_iou:.2f} "
    "for ReLU decoders; without a picture {siren_blind_iou:.2f} and {relu_blind_iou:.2f}; the mean of all weights has "
    f"{{siren_mean_iou:.2f}} and {{relu_mean_iou:.2f}}. {alone} ({{eight_sirens_iou:.2f}}). "
    "Less the mean, the own shape ranks first for {siren_own:.0%} and {relu_own:.0%} of the images, "
    "without a picture for {siren_blind_own:.0%} and {relu_blind_own:.0%}, by chance for {by_chance:.0%}. The cosine "
    "to the own decoder is {siren_cosine:.3f} and {relu_cosine:.3f}. Noise as large as its answers' errors leaves a "
    "SIREN an IoU of {siren_iou_with_noise:.2f}, a ReLU decoder {relu_iou_with_noise:.2f}. On the mean of all weights "
    "the IoU from one picture gains {siren_gain:.3f} [{siren_low:.3f}, {siren_high:.3f}] and {relu_gain:.3f} "
    f"[{{relu_low:.3f}}, {{relu_high:.3f}}]: a hundredth or more for sure {' and '.join(helps) or 'with neither'}.",
)

# %%
chosen = [int(i) for i in np.linspace(0, len(sirens.vectors) - 1, min(5, len(sirens.vectors)))]
pairs = {"decoder": {n: of.vectors for n, of in families.items()}, "from a picture": codes}
drawn, titles = [], []
for what, of in pairs.items():
    for name, shapes in families.items():
        drawn += weight_surfaces.meshes({name: of[name]}, shapes, chosen, resolution)
        titles += [f"{name}, {what}: {shapes.entries[i].category}" for i in chosen]
figure = figures.mesh_grid(drawn, weight_samples.titled(titles, drawn), columns=len(chosen), size=1.8)
results.save_figure(chapter, figure, "meshes", caption="Decoders, and what one picture gives.", key=True)

# %%
results.record_claims(chapter, ["H3"])
results.finish(chapter, encoder=True, inputs=sirens.keys)
