# %% [markdown]
# # Raw weights: was it the standardisation?
#
# **Claim.** Standardising each weight blows up those that hardly vary. Without it the predicted weights collapse all
# the same, so it was not the cause.
#
# **What would refute it:** raw weights that are recalled. What would make the test *worthless*: noise so large beside
# raw weights that no network could see them; so a third run has one scale for all weights.

# %% tags=["parameters"]
profile = "laptop"
data = "procedural"
artifacts = ""
report = ""
steps = 480
batch = 16
rate = 1.0e-3
ema = 0.99
width = 192
layers = 4
heads = 6
resolution = 64
ranked_resolution = 32
most = 0
seed = 0

# %%
import pandas as pd

from flowsdf.generative.diffusion import cosine_alpha_bar
from flowsdf.report import figures, results
from flowsdf.studies import weight_answers, weight_diffusion, weight_samples, weight_shapes, weight_surfaces
from flowsdf.train import checkpoint, fits

chapter = results.open_chapter("08_no_standardization", globals())
prepared = chapter.artifacts_of("00_data")
shapes = weight_shapes.shapes_of(prepared, chapter.artifacts_of("01_pershape"), most=most)
setup, before = weight_diffusion.PHASES["08"], weight_diffusion.PHASES["07"]
assert weight_diffusion.switches(before, setup) == ["scaling"]

# %% [markdown]
# ## How much of a raw weight the noise leaves
#
# Noise has the size one at every scaling. The signal is what differs between shapes: one for standardised weights, and
# for raw ones the deviation of a weight. The ratio of the two, by timestep:

# %%
vectors = shapes.vectors
between = vectors.std(0).square().mean().sqrt().item()
results.record_metrics(
    chapter,
    {"weight_size": vectors.square().mean().sqrt().item(), "weight_deviation": between}
    | {"nearly_constant_weights": int((vectors.std(0) < 1e-4).sum())},
)
alpha_bar = cosine_alpha_bar()[weight_answers.TIMES]
ratio = (alpha_bar / (1 - alpha_bar)).sqrt()
table = pd.DataFrame({"t": weight_answers.TIMES, "standardised": ratio, "raw": ratio * between})
results.save_table(chapter, table, "signal", caption="Signal over noise, by timestep, of one weight.")
drowned = [t for t, share in zip(weight_answers.TIMES, ratio * between, strict=True) if share < 1]
results.record_metrics(chapter, {"raw_drowned_from": min(drowned, default=-1)})
results.say(
    chapter,
    "A raw weight has the size {weight_size:.3f} and differs between shapes by {weight_deviation:.4f}; of the "
    "times in the table the noise is larger from $t$ = {raw_drowned_from} on. {nearly_constant_weights} weights have "
    "a deviation below `1e-4`, in the thesis `124`.",
)

# %%
common = {"steps": steps, "batch": batch, "rate": rate, "ema": ema, "seed": seed}
common |= {"width": width, "layers": layers, "heads": heads}
kinds = {"raw": setup, "one scale": before._replace(scaling="one")}
jobs = {name: weight_shapes.job(shapes, common | kind._asdict()) for name, kind in kinds.items()}
fitted = fits.fit_all(jobs, store=chapter.artifacts / "fits")
shown = {name: fit.facts["curve"] for name, fit in fitted.items()}
caption = "Moving average of the training loss; raw weights are small, and so is their loss."
results.save_figure(chapter, figures.losses(shown), "loss", caption=caption)

# %% [markdown]
# ## The same diagnosis
#
# Every training shape's own views, and the answers ranked. At the thesis's size this phase has 5,000 steps, as in the
# thesis, and chapter `07`, whose answers stand beside, 30,000: there two things differ; at laptop size only the
# scaling.

# %%
models, given, codes = weight_answers.answers(fitted, shapes, heads=heads, views=setup.views, seed=seed)
stored, _ = checkpoint.read(chapter.artifacts_of("07_multiview_cond") / "answers.safetensors")
codes["each its own"] = stored["several views"]
checkpoint.write(chapter.artifacts / "answers.safetensors", {k: v.contiguous() for k, v in codes.items()}, {})
ranking, facts = weight_answers.judged(codes, shapes, prepared, resolution=ranked_resolution)
facts = facts.merge(weight_samples.strengths(models, given, seed=seed), how="left")
results.save_table(chapter, ranking, "ranking", caption="Where the own shape ranks, three ways.")
results.save_table(chapter, facts, "collapse", caption="Collapse, spread and direction, by scaling.")
times = weight_answers.by_times(models, shapes, given, seed=seed)
caption = "The x0 loss by timestep, with right and with wrong views, each in the units of its run."
results.save_table(chapter, times, "by_time", caption=caption)
by = facts.set_index("run")
results.record_metrics(
    chapter,
    {"no_standardization_collapsed": by.collapsed["raw"], "one_scale_collapsed": by.collapsed["one scale"]}
    | {"raw_spread": by.spread["raw"], "one_scale_spread": by.spread["one scale"]}
    | {"raw_direction": by.direction["raw"], "one_scale_direction": by.direction["one scale"]}
    | {"standardised_direction": by.direction["each its own"]}
    | weight_answers.controls(shapes, seed=seed),
)
results.say(
    chapter,
    "Less the mean, the cosine to the target is {raw_direction:.3f} for raw weights, {one_scale_direction:.3f} with "
    "one scale and {standardised_direction:.3f} with one for each weight. The answers are read as "
    f"{by.kind['raw']}, {by.kind['one scale']} and {by.kind['each its own']}; they spread {{raw_spread:.2f}} and "
    "{one_scale_spread:.2f} as far as the truth, raw and with one scale.",
)

# %%
rows = {"own decoder": vectors} | codes
chosen = sorted({0, len(vectors) // 2, len(vectors) - 1})
titles = [f"{name}: {shapes.entries[i].category}" for name in rows for i in chosen]
drawn = weight_surfaces.meshes(rows, shapes, chosen, resolution)
figure = figures.mesh_grid(drawn, weight_samples.titled(titles, drawn), columns=len(chosen), size=2)
results.save_figure(chapter, figure, "meshes", caption="Decoded answers by scaling.", key=True)

# %%
results.record_claims(chapter, ["W9"])
results.finish(chapter, encoder=True, inputs=shapes.keys)
