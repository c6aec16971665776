# %% [markdown]
# # Without dropped conditions, and what all four phases show
#
# **Claim.** Training that never drops the views or their poses collapses as well, with the loss of the phase before:
# what is left as a cause is the cloud of weights itself.
#
# **What would refute it:** answers that follow their views only once nothing is dropped; or, over all four phases,
# answers that follow them anyhow, so that there is no collapse to explain.

# %% tags=["parameters"]
profile = "laptop"
data = "procedural"
artifacts = ""
report = ""
heads = 6
layers = 4
width = 192
ema = 0.99
rate = 1.0e-3
steps = 480
batch = 16
resolution = 64
ranked_resolution = 32
points_per_step = 256
code_dim = 64
rank = 16
code_steps = 900
eight = 8
more_steps = 50
more_rate = 1.0e-3
most = 0
seed = 0

# %%
import hashlib

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt

from flowsdf.data import artefacts
from flowsdf.evaluation import collapse
from flowsdf.report import figures, results
from flowsdf.studies import deepsdf, pershape, repairs, weight_answers, weight_shapes, weight_surfaces
from flowsdf.studies.gains import paired_ends
from flowsdf.studies.weight_diffusion import PHASES, switches
from flowsdf.studies.weight_samples import strengths
from flowsdf.train import checkpoint, fits

chapter = results.open_chapter("09_no_dropout", globals())
prepared, store = chapter.artifacts_of("00_data"), chapter.artifacts / "fits"
shapes = weight_shapes.shapes_of(prepared, chapter.artifacts_of("01_pershape"), most=most)
vectors = shapes.vectors
setup = PHASES["09"]
assert switches(PHASES["07"], setup) == ["dropout"]

# %% [markdown]
# ## From both phases before
#
# One text of the thesis calls this an ablation of the seventh phase, another compares its loss with the eighth's: it is
# run from both, with standardised weights and with raw ones. (At the thesis's size the eighth has a sixth of the
# steps.)

# %%
raw = PHASES["08"]._replace(dropout=False)
assert switches(PHASES["08"], raw) == ["dropout"]
numbers = {"steps": steps, "batch": batch, "width": width, "layers": layers, "heads": heads}
numbers |= {"rate": rate, "ema": ema, "seed": seed}
runs = {"nothing dropped": setup, "nothing dropped, raw": raw}
jobs = {name: weight_shapes.job(shapes, numbers | of._asdict()) for name, of in runs.items()}
fitted = fits.fit_all(jobs, store=store)
models, given, codes = weight_answers.answers(fitted, shapes, heads=heads, views=setup.views, seed=seed)
figure = figures.losses({name: fit.facts["curve"] for name, fit in fitted.items()})
results.save_figure(chapter, figure, "loss", caption="Moving average of the training loss, each in its own units.")

# %%
training, own = vectors.numpy(), np.arange(len(vectors))
ranking, facts = weight_answers.judged(codes, shapes, prepared, resolution=ranked_resolution)
facts = facts.merge(strengths(models, given, seed=seed), how="left")
results.save_table(chapter, facts, "collapse", caption="Collapse, spread and direction with nothing dropped.")
results.save_table(chapter, ranking, "ranking", caption="Where the own shape ranks, three ways.")
by = facts.set_index("run")
told = by.loc["nothing dropped"]
results.record_metrics(
    chapter,
    {"no_dropout_collapsed": told.collapsed, "no_dropout_raw_collapsed": by.collapsed["nothing dropped, raw"]}
    | {"no_dropout_direction": told.direction, "no_dropout_spread": told.spread}
    | weight_answers.controls(shapes, seed=seed),
)

# %% [markdown]
# ## A suspicion, and four changes
#
# A suspicion: fifty thousand numbers drown in noise far later than one does. If noisy weights still say which shape
# they belong to, the network learns to recognise training shapes in the noise, and never needs the views, which are all
# it has when it samples. Then the loss must hardly rise with the wrong views, and more noise must cure it.
#
# Four changes: *more noise*, by as much as the weights outnumber the 64 numbers of a latent; *no signal*, noise alone,
# which leaves regression; the *field loss*, that of the field which the predicted weights make; and *short codes*, one
# anchor with low-rank changes that 64 numbers scale, in place of free weights; for those the decoders are fitted anew,
# and the network is that of chapter `12`, of the width of the others here. The last two, which change what is learned,
# are run for eight shapes alone as well; the first two have the network of chapter `06`, whose control of eight shapes
# had the thesis's noise and one view.

# %%
samples = deepsdf.as_tensors(*artefacts.read_samples(prepared, shapes.entries))
few, free = weight_shapes.first(shapes, eight), numbers | {"views": setup.views}
of_field, of_codes = free | {"points_per_step": points_per_step}, {"code_dim": code_dim, "rank": rank, "seed": seed}
of_codes |= {"points_per_step": points_per_step, "steps": code_steps, "rate": 1.0e-3}
jobs = {
    "modulations": repairs.modulated(shapes, *samples, of_codes),
    "more noise": weight_shapes.job(shapes, free | setup._asdict() | {"signal": (code_dim / vectors.shape[1]) ** 0.5}),
    "no signal": weight_shapes.job(shapes, free | setup._asdict() | {"signal": 0.0}),
    "field loss": repairs.by_field(shapes, *samples, of_field),
    "eight by field": repairs.by_field(few, *samples, of_field),
    "eight modulations": repairs.modulated(few, *samples, of_codes),
}
cures = fits.fit_all(jobs, store=store)
modulated, of_eight = cures.pop("modulations"), {n: cures.pop(f"eight {n}") for n in ("by field", "modulations")}
coded = numbers | {"steps": code_steps}
jobs = {"codes": weight_shapes.code_job(shapes, modulated, coded)}
jobs["eight codes"] = weight_shapes.code_job(few, of_eight["modulations"], coded)
latent = fits.fit_all(jobs, store=store)
trained = cures | {"short codes": modulated, "short codes from views": latent["codes"]}
figure = figures.losses({name: fit.facts["curve"] for name, fit in trained.items()})
results.save_figure(chapter, figure, "repairs_loss", caption="Training losses of the repairs, each in its own units.")

# %%
asked = {"heads": heads, "views": setup.views, "seed": seed}
repaired, given, answered = weight_answers.answers(cures, shapes, **asked)
answered = {"nothing dropped": codes["nothing dropped"]} | answered
answered["short codes"] = repairs.answers(modulated, latent["codes"], shapes, **asked)
answered["short codes, the best"] = modulated.tensors["vectors"]
answered["mean of all"] = vectors.mean(0).expand_as(vectors)
both = {"nothing dropped": models["nothing dropped"], "more noise": repaired["more noise"]}
by_noise = weight_answers.by_times(both, shapes, given, seed=seed)
results.save_table(chapter, by_noise, "by_time", caption="The x0 loss by timestep, with right and with wrong views.")
shown = by_noise.rename(columns={"x0 loss": "its own", "with shuffled views": "another's"})
long = shown.melt(["run", "t"], ["its own", "another's"], "views", "loss")
grid = sns.relplot(long, x="t", y="loss", hue="views", col="run", kind="line", height=2.8, marker="o")
grid.set_titles("{col_name}")
results.save_figure(chapter, grid.figure, "views_matter", caption="Loss with own and another's views.", key=True)

# %% [markdown]
# The same diagnosis for every repair. *Success* is measured on the field, by the mean IoU of the decoded answer with
# the shape's own decoder.

# %%
ious = {name: weight_answers.field_ious(of, shapes.vectors, shapes) for name, of in answered.items()}
long = pd.DataFrame({"answers": name, "IoU": float(v)} for name, of in ious.items() for v in of)
described = long.groupby("answers", sort=False).IoU.describe().reset_index()
caption = "IoU of decoded answers with the own decoders, over training shapes."
results.save_table(chapter, described, "repairs", caption=caption)
figure, axes = plt.subplots(figsize=(6, 3))
sns.stripplot(long, y="answers", x="IoU", ax=axes, alpha=0.5)
sns.pointplot(long, y="answers", x="IoU", ax=axes, linestyle="none", color="black", errorbar=("ci", 95), seed=0)
axes.set_ylabel("")
results.save_figure(chapter, figure, "repairs", caption="IoU after each change, with 95 % intervals.", key=True)
of_few = {"mean": few.vectors.mean(0).expand_as(few.vectors)}
of_few |= weight_answers.answers({"by_field": of_eight["by field"]}, few, **asked)[2]
of_few["by_codes"] = repairs.answers(of_eight["modulations"], latent["eight codes"], few, **asked)
of_few = {f"eight_{n}_iou": weight_answers.field_ious(of, few.vectors, few).mean() for n, of in of_few.items()}
facts = {n: collapse.following(answered[n].numpy(), training, own) for n in ("nothing dropped", *cures)}
results.record_metrics(
    chapter,
    {f"iou_{name.replace(' ', '_').replace(',', '')}": float(of.mean()) for name, of in ious.items()}
    | {f"own_{name.replace(' ', '_')}": of["own"] for name, of in facts.items()}
    | of_few,
)
results.say(
    chapter,
    "All with nothing dropped. The own shape ranks first, less the mean, for {own_nothing_dropped:.0%} of the images "
    "with the thesis's noise, for {own_more_noise:.0%} with more noise and {own_no_signal:.0%} with noise alone. IoU: "
    "{iou_nothing_dropped:.2f}, {iou_more_noise:.2f} with more noise, {iou_no_signal:.2f} with noise alone, "
    "{iou_field_loss:.2f} with the field's loss, {iou_short_codes:.2f} with short codes; the mean of all weights has "
    "{iou_mean_of_all:.2f}. With {eight} shapes alone the field's loss comes to {eight_by_field_iou:.2f} and short "
    "codes to {eight_by_codes_iou:.2f}; the mean of the eight has {eight_mean_iou:.2f}. More noise was to be the cure, "
    "and is "
    + ("one." if ious["more noise"].mean() > 0.5 else "none: answers may point to their shape, but are not its mesh."),
)

# %%
chosen = [int(i) for i in np.linspace(0, len(own) - 1, min(4, len(own)))]
rows = {"own decoder": vectors} | {n: answered[n] for n in ("nothing dropped", *cures, "short codes")}
titles = [f"{name}: {shapes.entries[i].category}" for name in rows for i in chosen]
drawn = weight_surfaces.meshes(rows, shapes, chosen, resolution)
figure = figures.mesh_grid(drawn, titles, columns=len(chosen), size=2)
results.save_figure(chapter, figure, "meshes", caption="Decoded answers before and after the repairs.", key=True)

# %% [markdown]
# ## Is an answer worth starting from?
#
# All decoders are fitted once more, for a few steps, from different starts. An answer that holds something of its shape
# is a better start than another shape's answer, and one that is worth asking for beats the mean of all weights and the
# first shape's decoder. That shape, for which the last start is the answer itself, does not count.

# %%
of_free = codes["nothing dropped"]
starts = {"own": of_free, "other": of_free.roll(1, 0), "field": answered["field loss"], "mean": answered["mean of all"]}
starts |= {"first": vectors[:1].expand_as(vectors)}
numbers = shapes.size | {"steps": more_steps, "rate": more_rate, "points_per_step": points_per_step, "seed": seed}
keys = {n: shapes.keys | {"start": hashlib.sha256(of.contiguous().numpy()).hexdigest()} for n, of in starts.items()}
jobs = {n: fits.Job(pershape.fit_decoders, (*samples, of), numbers, keys[n]) for n, of in starts.items()}
ended = {name: fit.tensors["vectors"] for name, fit in fits.fit_all(jobs, store=store).items()}
at_start, ended = (
    {n: weight_answers.field_ious(w, vectors, shapes)[1:] for n, w in of.items()} for of in (starts, ended)
)
table = paired_ends(at_start, ended, "own", seed=seed)
caption = "IoU with the own decoder before and after; what the own answer gains on each start, 95 %, paired by shape."
results.save_table(chapter, table.reset_index(), "starts", caption=caption)
results.record_metrics(chapter, {f"from_{name}": float(of.mean()) for name, of in ended.items()})
ends = {f"own_on_{n}_{end}": table[end][n] for n in starts for end in ("gain", "low", "high") if n != "own"}
results.record_metrics(chapter, ends)
results.say(
    chapter,
    "After {more_steps} steps the IoU is {from_own:.3f} from the own answer, {from_other:.3f} from another shape's, "
    "{from_field:.3f} from the one trained by the field, {from_mean:.3f} from the mean and {from_first:.3f} from "
    "the first shape's. The own answer gains {own_on_other_gain:.3f} [{own_on_other_low:.3f}, {own_on_other_high:.3f}] "
    "on another's, {own_on_mean_gain:.3f} [{own_on_mean_low:.3f}, {own_on_mean_high:.3f}] on the mean of all, and "
    "{own_on_first_gain:.3f} [{own_on_first_low:.3f}, {own_on_first_high:.3f}] on the first shape's.",
)

# %% [markdown]
# ## Collapse, noise, or something else?
#
# All phases and repairs on one figure, on the same images. *Attractors* is the share of images for which one of the
# same four shapes ranks first by cosine, the thesis's sign of collapse. *Own* is the share for which the shape itself
# is first, once the mean of all weights is subtracted. A network that never saw an image can only guess it.

# %%
everything = {"09 nothing dropped": codes["nothing dropped"]}
for phase, name in {"06_image_cond_weights": "06", "07_multiview_cond": "07", "08_no_standardization": "08"}.items():
    stored, _ = checkpoint.read(chapter.artifacts_of(phase) / "answers.safetensors")
    everything |= {f"{name} {run}": of for run, of in stored.items() if run != "each its own"}  # that is 07's
everything |= {f"repair: {name}": answered[name] for name in (*cures, "short codes")}
among = {"repair: short codes": modulated.tensors["vectors"]}
table = weight_answers.side_by_side(everything, shapes, among=among)
results.save_table(chapter, table, "phases", caption="Every run, on the training images; short codes among their own.")
long = table.melt("run", ["first_four_share", "own"], "measure", "share of images")
long["measure"] = long.measure.map({"first_four_share": "attractors", "own": "own, less the mean"})
figure, axes = plt.subplots(figsize=(7, 0.45 * len(table) + 1))
sns.barplot(long, y="run", x="share of images", hue="measure", ax=axes)
axes.set_ylabel("")
sns.move_legend(axes, "upper left", bbox_to_anchor=(1, 1), title=None)
caption = (
    "Share of pictures for which one of the same four shapes ranks first by cosine (the thesis's sign of collapse), "
)
caption += "and for which the right one does, once the mean of all weights is taken away."
results.save_figure(chapter, figure, "phases", caption=caption, key=True)

# %%
results.record_claims(chapter, ["W10"])
results.finish(chapter, encoder=True, inputs=shapes.keys)
