# %% [markdown]
# # Weights without an image: the first diffusion over decoders
#
# **Claim.** A transformer that diffuses weight vectors, with no image at all, draws weights that decode to shapes. The
# thesis calls this first attempt a partial success, and gives no number.
#
# **What would refute it:** samples that decode to nothing, or to copies of training shapes; or that are no better than
# what needs no network, such as the mean of two decoders.

# %% tags=["parameters"]
profile = "laptop"
data = "procedural"
artifacts = ""
report = ""
samples = 24
points = 500
resolution = 48
width = 192
layers = 4
heads = 6
steps = 480
eight = 8
eight_steps = 1200
handover = 450
batch = 16
rate = 1.0e-3
ema = 0.99
seed = 0

# %%
import numpy as np
import pandas as pd
import torch

from flowsdf.report import figures, results, score_figures
from flowsdf.studies import image_to_latent, weight_answers, weight_samples, weight_shapes
from flowsdf.studies.weight_diffusion import PHASES
from flowsdf.train import fits

chapter = results.open_chapter("02_weight_dit", globals())
prepared = chapter.artifacts_of("00_data")
shapes = weight_shapes.blind(weight_shapes.shapes_of(prepared, chapter.artifacts_of("01_pershape")))
results.record_metrics(chapter, {"training_shapes": len(shapes.entries)})
handovers = sorted({0, 100, 200, 300, 400, handover, 480, 490, 500})  # times; from the last on the ideal is not asked

# %% [markdown]
# ## Two runs and a control
#
# The network of the later phases, given a view that says nothing. The second run has more noise, by as much as the
# weights outnumber the 64 numbers of a latent: fifty thousand numbers drown far later than one does. The control has
# eight shapes and as many steps or more: if it cannot draw those again, it is no fault of too many shapes, and the last
# section asks what it lacks.

# %%
settings = {"width": width, "layers": layers, "heads": heads, "steps": steps, "batch": batch, "rate": rate}
settings |= {"ema": ema, "seed": seed} | PHASES["09"]._replace(views=1)._asdict()
louder = {"signal": (64 / shapes.vectors.shape[1]) ** 0.5}
jobs = {"diffusion": weight_shapes.job(shapes, settings), "more noise": weight_shapes.job(shapes, settings | louder)}
few = weight_shapes.first(shapes, eight)
longest = {"eight shapes": weight_shapes.job(few, settings | {"steps": eight_steps})}
fitted = fits.fit_all(longest | jobs, store=chapter.artifacts / "fits")
figure = figures.losses({name: fit.facts["curve"] for name, fit in fitted.items()})
results.save_figure(chapter, figure, "loss", caption="Training loss; the mean of all weights has one.")
models = {n: image_to_latent.restore_predictor(fitted[n].tensors, heads=heads) for n in jobs | longest}
rows = {name: weight_samples.drawn(model, shapes, samples, seed=seed) for name, model in models.items()}

# %% [markdown]
# ## The samples
#
# Beside them what needs no network. Scores are against as many training shapes: MMD is the distance from a training
# shape to the nearest sample, COV the share of training shapes that are nearest to some sample, 1-NNA how well the two
# sets can be told apart, one half at best; a sample without a surface counts, as points in a corner. *New* is the
# median distance to the nearest training shape, over that among the training shapes: what is as new as they are to
# one another has one, and a copy has less, though not none, as both are compared by random points.

# %%
rows |= weight_samples.trivial(shapes.vectors, samples, seed=seed)
measure = {"resolution": resolution, "points": points, "seed": seed}
table = weight_samples.scores(rows, shapes, prepared, **measure)
results.save_table(chapter, table, "scores", caption=f"Scores at {points} points a shape, 95 % intervals.")
by = table.set_index("row")
nearest = {
    "unconditional": weight_answers.nearest_ious(rows["diffusion"], shapes.vectors, shapes),
    "means_of_two": weight_answers.nearest_ious(rows["means of two"], shapes.vectors, shapes),
    "eight": weight_answers.nearest_ious(rows["eight shapes"], few.vectors, shapes),
}
results.record_metrics(
    chapter,
    {f"{n.replace(' ', '_')}_new": float(v) for n, v in by.new.items() if np.isfinite(v)}
    | {"unconditional_failed": int(by.failed["diffusion"]), "more_noise_failed": int(by.failed["more noise"])}
    | {"unconditional_1nna": by["1-nna mean"]["diffusion"], "more_noise_1nna": by["1-nna mean"]["more noise"]}
    | {"means_of_two_1nna": by["1-nna mean"]["means of two"]}
    | {f"{name}_nearest_iou": near.mean() for name, near in nearest.items()},
)
results.say(
    chapter,
    "Of {samples} samples {unconditional_failed} have no surface, and 1-NNA is {unconditional_1nna:.2f}; with more "
    "noise {more_noise_failed} and {more_noise_1nna:.2f}. Means of two decoders have a 1-NNA of "
    "{means_of_two_1nna:.2f}. Samples of the network of {eight} shapes have an IoU of {eight_nearest_iou:.2f} with the "
    "nearest of those, where drawing them again would give one; those of all shapes {unconditional_nearest_iou:.2f} "
    "with the nearest of all, means of two {means_of_two_nearest_iou:.2f}.",
)

# %%
shown = ("diffusion", "more noise", "eight shapes", "means of two", "training shapes")
of = {name: rows[name] for name in shown}
drawn, titles, columns = weight_samples.gallery(of, shapes, count=6, resolution=resolution)
figure = figures.mesh_grid(drawn, titles, columns=columns, size=1.6)
results.save_figure(chapter, figure, "samples", caption="Samples, and what needs no network.", key=True)

# %% [markdown]
# ## What the samples lack
#
# With a boundless network, the same training tends to an answer that can be written down: the mean of the training
# weights, each counted by how likely it makes the noisy weights. Here this ideal answers first, while the noise is
# strong, and the network from some time on. From where the samples become training shapes, the network knows the
# rest; what it lacks lies before.

# %%
learned = {"eight shapes": (models["eight shapes"], few), "all shapes": (models["diffusion"], shapes)}
lines, given = [], np.repeat(handovers, samples)
for name, (model, known) in learned.items():
    drawn = [weight_samples.begun(model, known, samples, until=until, seed=seed) for until in handovers]
    near = weight_answers.nearest_ious(torch.cat(drawn), known.vectors, shapes)
    lines.append(pd.DataFrame({"network of": name, "network answers from t =": given, "IoU with the nearest": near}))
continued = pd.concat(lines, ignore_index=True)
axes = {"x": "network answers from t =", "y": "IoU with the nearest", "hue": "network of"}
figure = score_figures.ranges(continued, **axes, line=True)
caption = "Far right the network draws alone, from pure noise; far left the ideal. Means over samples, 95 % intervals."
results.save_figure(chapter, figure, "handover", caption=caption)
means = continued.groupby(["network of", "network answers from t ="])["IoU with the nearest"].mean()
results.record_metrics(
    chapter,
    {"handover": handover, "eight_continued_iou": means["eight shapes", handover]}
    | {"all_continued_iou": means["all shapes", handover], "ideal_iou": means["eight shapes", 0]},
)
learned = {name: "knows them by heart" if means[name, handover] > 0.9 else "has not learned them" for name in learned}
results.say(
    chapter,
    "If the ideal answers down to t = {handover}, the network of {eight} shapes brings the samples to an IoU of "
    f"{{eight_continued_iou:.2f}}: it {learned['eight shapes']}. Alone, from pure noise, it comes to "
    "{eight_nearest_iou:.2f}: there it would have to choose one of them while each weight says next to nothing. The "
    f"network of all shapes, begun alike, comes to {{all_continued_iou:.2f}}: it {learned['all shapes']}.",
)

# %%
results.finish(chapter, inputs=shapes.keys)
