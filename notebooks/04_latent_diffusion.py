# %% [markdown]
# # Diffusion over what a hypernetwork gives
#
# **Claim.** A variational autoencoder turns the weights that a hypernetwork gives into short codes, and diffusion over
# those draws new shapes. The thesis calls this a partial success, and gives no number.
#
# **What would refute it:** samples no better than codes drawn from one Gaussian, which need no diffusion, than the
# hypernetwork's own, which need no second code, or than means of two decoders, which need no network.

# %% tags=["parameters"]
profile = "laptop"
data = "procedural"
artifacts = ""
report = ""
hidden = 256
code_dim = 16
kl = 0.02
eight = 8
steps = 480
batch = 32
rate = 1.0e-3
width = 192
layers = 4
heads = 6
diffusion_steps = 1200
ema = 0.99
samples = 24
points = 500
resolution = 48
seed = 0

# %%
import numpy as np
import torch

from flowsdf.evaluation.few_values import shapes_interval
from flowsdf.report import figures, results
from flowsdf.studies import hypernetworks, image_to_latent, weight_answers, weight_samples, weight_shapes
from flowsdf.studies import weight_autoencoder as study
from flowsdf.train import checkpoint, fits

chapter = results.open_chapter("04_latent_diffusion", globals())
prepared, store = chapter.artifacts_of("00_data"), chapter.artifacts / "fits"
shapes = weight_shapes.blind(weight_shapes.shapes_of(prepared, chapter.artifacts_of("01_pershape")))
given, facts = checkpoint.read(chapter.artifacts_of("03_hypernet") / "outputs.safetensors")
outputs, shapes = given["vectors"], weight_shapes.first(shapes, len(given["vectors"]))
shapes = shapes._replace(keys=shapes.keys | {"outputs": facts["fingerprint"]})

# %% [markdown]
# ## The second code
#
# The autoencoder of chapter `10`, with the noise and the prior that make it variational (Kingma 2014), on what the
# per-layer hypernetwork gives for its training shapes. Beside it the same without noise and prior; and as a control the
# variational one of eight shapes, which must be able to bring those back, and the diffusion over its codes to draw
# them again.

# %%
few = weight_shapes.first(shapes, eight)
plan = {"variational": (shapes, kl), "plain": (shapes, 0.0), "eight": (few, kl)}
numbers = {"width": hidden, "code_dim": code_dim, "steps": steps, "batch": batch, "rate": rate, "seed": seed}
jobs = {
    name: fits.Job(study.fit_autoencoder, (outputs[: len(some.vectors)],), numbers | {"kl": strength}, some.keys)
    for name, (some, strength) in plan.items()
}
fitted = fits.fit_all(jobs, store=store)
settings = {"width": width, "layers": layers, "heads": heads, "batch": batch, "rate": rate, "ema": ema, "seed": seed}
settings |= {"steps": diffusion_steps}
jobs = {name: weight_shapes.code_job(some, fitted[name], settings) for name, (some, _) in plan.items()}
diffusion = fits.fit_all({f"diffusion, {name}": of for name, of in jobs.items()}, store=store)
models = {n: image_to_latent.restore_predictor(diffusion[f"diffusion, {n}"].tensors, heads=heads) for n in plan}
curves = {name: fit.facts["curve"] for name, fit in fitted.items()}
results.save_figure(chapter, figures.losses(curves), "loss", caption="Training loss; the mean of all weights has one.")
mean = shapes.vectors.mean(0).expand_as(shapes.vectors)
results.record_metrics(
    chapter,
    {
        f"{n}_iou": weight_answers.field_ious(f.tensors["vectors"], plan[n][0].vectors, shapes).mean()
        for n, f in fitted.items()
    }
    | {"hypernet_iou": weight_answers.field_ious(outputs, shapes.vectors, shapes).mean()}
    | {"mean_iou": weight_answers.field_ious(mean, shapes.vectors, shapes).mean()},
)
results.say(
    chapter,
    "The IoU with the own decoders is {hypernet_iou:.2f} from the hypernetwork, {variational_iou:.2f} after the "
    "variational autoencoder, {plain_iou:.2f} after the plain one; the mean of all weights has {mean_iou:.2f}. A "
    "variational one of {eight} shapes brings them back with {eight_iou:.2f}.",
)

# %% [markdown]
# ## The samples
#
# Diffusion on either code, and what needs less: the prior, one Gaussian with the covariance of the codes, the
# hypernetwork's own codes, and means of two decoders. *New* is as in chapter `02`: how far a sample is from the
# nearest training shape.

# %%
noise = torch.randn(samples, code_dim, generator=torch.Generator().manual_seed(seed))
codes = {
    "diffusion": ("variational", weight_samples.drawn(models["variational"], shapes, samples, seed=seed)),
    "diffusion, plain": ("plain", weight_samples.drawn(models["plain"], shapes, samples, seed=seed)),
    "diffusion, eight shapes": ("eight", weight_samples.drawn(models["eight"], few, samples, seed=seed)),
    "prior": ("variational", noise),
    "Gaussian of codes": (
        "variational",
        hypernetworks.gaussian(fitted["variational"].tensors["codes"], samples, seed=seed),
    ),
}
rows = {name: study.decoded(fitted[of].tensors, code) for name, (of, code) in codes.items()}
rows["hypernetwork"] = hypernetworks.decoded(given, hypernetworks.gaussian(given["codes"], samples, seed=seed))
rows |= weight_samples.trivial(shapes.vectors, samples, seed=seed)
table = weight_samples.scores(rows, shapes, prepared, resolution=resolution, points=points, seed=seed)
results.save_table(chapter, table, "scores", caption=f"Scores at {points} points a shape, 95 % intervals.")
by = table.set_index("row")
named = {"diffusion": "diffusion", "plain": "diffusion, plain", "prior": "prior", "gaussian": "Gaussian of codes"}
named |= {"hypernet": "hypernetwork", "means_of_two": "means of two", "copy": "training shapes"}
results.record_metrics(
    chapter,
    {f"{key}_1nna": by["1-nna mean"][row] for key, row in named.items()}
    | {f"{key}_failed": int(by.failed[row]) for key, row in named.items()}
    | {f"{key}_new": float(by.new[row]) for key, row in named.items() if np.isfinite(by.new[row])}
    | {"eight_drawn_iou": weight_answers.nearest_ious(rows["diffusion, eight shapes"], few.vectors, few).mean()}
    | {"eight_others_iou": weight_answers.nearest_ious(shapes.vectors[eight:], few.vectors, few).mean()},
)
results.say(
    chapter,
    "1-NNA is {diffusion_1nna:.2f} for diffusion over variational codes, {plain_1nna:.2f} over plain ones, "
    "{gaussian_1nna:.2f} for one Gaussian, {hypernet_1nna:.2f} for the hypernetwork alone and {means_of_two_1nna:.2f} "
    "for means of two decoders: one half for samples that cannot be told from shapes, one for those that always can. "
    "Of {samples} samples each {diffusion_failed}, {plain_failed}, {gaussian_failed}, {hypernet_failed} and "
    "{means_of_two_failed} have no surface. Drawn over the codes of {eight} shapes alone, samples have an IoU of "
    "{eight_drawn_iou:.2f} with the nearest of those; after their code these have {eight_iou:.2f} themselves, the "
    "other training shapes {eight_others_iou:.2f}.",
)

# %%
shown = ("diffusion", "diffusion, plain", "Gaussian of codes", "hypernetwork", "means of two")
of = {name: rows[name] for name in shown}
drawn, titles, columns = weight_samples.gallery(of, shapes, count=6, resolution=resolution)
figure = figures.mesh_grid(drawn, titles, columns=columns, size=1.6)
results.save_figure(chapter, figure, "samples", caption="Samples, and what needs less.", key=True)

# %% [markdown]
# ## Drawn, or recalled?
#
# A sample can be told from shapes by being a blob, and cannot when it is a copy. So the scores above need the distance
# to the nearest training shape beside them: what scores well and is as near as a copy has drawn nothing. Copies here go
# through a code, which distorts them. So samples are read as *copies* if their IoU with the nearest training shape is
# nearer to that of training shapes after the same code than to that of training shapes with the nearest of others, and
# the interval over samples says the same. Two controls are no copies: means of two decoders, and those others. If the
# interval of either reaches that far, the test says nothing.

# %%
near = {key: weight_answers.nearest_ious(rows[row], shapes.vectors, shapes) for key, row in named.items()}
apart = weight_answers.nearest_ious(shapes.vectors[::2], shapes.vectors[1::2], shapes)
near = {key: shapes_interval(values, seed=seed) for key, values in (near | {"apart": apart}).items()}
results.record_metrics(chapter, {f"{key}_nearest_iou": of.estimate for key, of in near.items()})
results.say(
    chapter,
    "A copy of a training shape has a *new* of {copy_new:.2f}, a shape as new as they are to one another 1. Diffusion "
    "over variational codes has {diffusion_new:.2f}, over plain codes {plain_new:.2f}, one Gaussian "
    "{gaussian_new:.2f}, the hypernetwork {hypernet_new:.2f}, means of two decoders {means_of_two_new:.2f}.",
)

# %%
controls, good, read = (near["means_of_two"], near["apart"]), weight_samples.good(by), {}
for key, iou in {"diffusion": "variational_iou", "plain": "plain_iou"}.items():
    (estimate, low, high), bound = near[key], (near["apart"].estimate + chapter.metrics[iou]) / 2
    told = max(control.high for control in controls) < bound and not low <= bound <= high
    copies = ("copies" if estimate > bound else "no copies") if told else "whether they are copies is not told"
    read[key] = f"{'' if good[named[key]] else 'not '}good by the test of chapter `03`, and {copies}"
    results.record_metrics(chapter, {f"{key}_copy_bound": bound, f"{key}_low": low, f"{key}_high": high})
results.say(
    chapter,
    "With the nearest training shape samples over variational codes have an IoU of {diffusion_nearest_iou:.2f} "
    "[{diffusion_low:.2f}, {diffusion_high:.2f}], training shapes after that code {variational_iou:.2f}; over plain "
    "codes {plain_nearest_iou:.2f} [{plain_low:.2f}, {plain_high:.2f}] and {plain_iou:.2f}. Half of the training "
    "shapes have {apart_nearest_iou:.2f} with the nearest of the other half, so copies begin half way, at "
    "{diffusion_copy_bound:.2f} and {plain_copy_bound:.2f}. One Gaussian has {gaussian_nearest_iou:.2f}, the "
    "hypernetwork {hypernet_nearest_iou:.2f}, means of two decoders {means_of_two_nearest_iou:.2f}. Samples over "
    f"variational codes are {read['diffusion']}; over plain codes they are {read['plain']}.",
)

# %%
results.finish(chapter, inputs=shapes.keys)
