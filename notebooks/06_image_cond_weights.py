# %% [markdown]
# # From an image to the weights of a decoder: does it collapse?
#
# **Claim.** A diffusion transformer that predicts a shape's decoder weights from one view answers every image with
# nearly the same weights: the same four training shapes rank first, and the answer is nearer to them than to its
# target. The loss stays where it is, at every noise level.
#
# **What would refute it:** answers that rank their own shape first; or answers that are unlike those of a network that
# never saw an image, since then the images do arrive.

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
longer_steps = 1440
counts = [20, 64]
batch = 16
rate = 1.0e-3
ema = 0.99
ranked_resolution = 32
resolution = 64
most = 0
seed = 0

# %%
import numpy as np
import torch

from flowsdf.evaluation import collapse
from flowsdf.evaluation.loss_curve import end_loss, loss_between
from flowsdf.generative.diffusion import cosine_alpha_bar, implied_noise_mse
from flowsdf.models.weight_dit import TOKENS, WeightDiT
from flowsdf.report import figures, results
from flowsdf.studies import image_to_latent, weight_answers, weight_diffusion, weight_samples, weight_shapes
from flowsdf.studies.weight_surfaces import meshes
from flowsdf.train import checkpoint, fits

chapter = results.open_chapter("06_image_cond_weights", globals())
prepared, store = chapter.artifacts_of("00_data"), chapter.artifacts / "fits"
shapes = weight_shapes.shapes_of(prepared, chapter.artifacts_of("01_pershape"), most=most)
setup, own = weight_diffusion.PHASES["06"], np.arange(len(shapes.entries))

# %% [markdown]
# ## The network
#
# The weight vector is cut into eight tokens, which look at each other and at the view. Weights are standardised one by
# one; in training the view is dropped for a tenth of the rows, its pose for a fifth.

# %%
with torch.device("meta"):
    network = WeightDiT()
numbers = {"weight_dit_parameters": sum(p.numel() for p in network.parameters()), "training_shapes": len(own)}
results.record_metrics(chapter, numbers | {"weight_dit_tokens": TOKENS, "weight_dit_token_size": network.token_dim})
results.say(
    chapter,
    "At the thesis's size that is {weight_dit_parameters:,} parameters; here the width is {width}, the layers are "
    "{layers}, and there are {training_shapes} shapes.",
)

# %% [markdown]
# ## What the test can tell
#
# First the test itself, on answers whose kind is known. *Collapse* is what the thesis saw: one of the same four
# training shapes ranks first, by cosine, for at least half of the images, and the answers are nearer to the four than
# to their targets, and nearer than training shapes are to one another: answers that are near nothing have not
# collapsed.

# %%
kinds = weight_answers.kinds(shapes, seed=seed).set_index("answers", drop=False)
results.save_table(chapter, kinds, "kinds", caption="Made-up answers, and what the ranking by cosine makes of them.")
said, deserved_kind = kinds["ranking by cosine"], kinds.kind
wrong = kinds.answers[(said != kinds.deserved) & ((said == "collapse") | (kinds.deserved != "follows"))]
results.record_metrics(
    chapter,
    {"ranking_separates": float(wrong.empty), "ranking_misread": len(wrong)}
    | {"ranking_positive_control": float(said["truth"] == "recall")}
    | {"ranking_negative_control": float(said["another's"] == "recall")},
)
if len(wrong):
    results.say(chapter, "The ranking by cosine misreads: " + "; ".join(f"{n}, as {said[n]}" for n in wrong) + ".")

# %% [markdown]
# Two of these are traps. Noise about the mean is nearest to the most central shapes, whatever it is nearest for; and
# answers that move three hundredths of the way from the mean to the truth follow every image without error (the ranking
# has no word for those, but must not call them collapsed). *Kind*
# looks at the answers less the mean, and at how far they spread: constant, scatter, following, or recall.

# %% [markdown]
# ## Training, with two controls and two cures
#
# One control never sees a view. The other has eight shapes, and as many steps or more: a network that could not even
# learn those would prove nothing. The cures are those that the thesis tried or ruled out: more training, and a network
# that is asked for the noise in place of the weights. And for fewer shapes than all there are networks that train as
# long.

# %%
numbers = {"width": width, "layers": layers, "heads": heads, "batch": batch, "rate": rate, "ema": ema, "seed": seed}
numbers |= {"steps": steps} | setup._asdict()
few = weight_shapes.first(shapes, eight)
unseen = weight_shapes.blind(shapes)
jobs = {"longer": weight_shapes.job(shapes, numbers | {"steps": longer_steps})}
jobs["eight shapes"] = weight_shapes.job(few, numbers | {"steps": eight_steps})
jobs["one view"] = weight_shapes.job(shapes, numbers)
jobs["noise target"] = weight_shapes.job(shapes, numbers | {"of_noise": True})
jobs["no views"] = weight_shapes.job(unseen, numbers)
fewer = {count: f"{count} shapes" for count in counts if eight < count < len(own)}
jobs |= {name: weight_shapes.job(weight_shapes.first(shapes, count), numbers) for count, name in fewer.items()}
fitted = fits.fit_all(jobs, store=store)
figure = figures.losses({name: fit.facts["curve"] for name, fit in fitted.items()})
caption = "Moving average of the training loss; the mean of all weights has one, as no noise at all has."
results.save_figure(chapter, figure, "loss", caption=caption)
curve, decay = fitted["one view"].facts["curve"], image_to_latent.LOSS_DECAY
half = loss_between(curve, 0.4 * steps, steps / 2, decay=decay)
results.record_metrics(chapter, {"weight_dit_loss_15k": half, "weight_dit_loss_30k": end_loss(curve, decay=decay)})

# %% [markdown]
# ## Every training image, ranked
#
# The answer to one view of each shape against all training weights: by cosine, by cosine less the mean, and by the
# surfaces of the decoded answers. The null answers every image with the mean. Beside that: what a view changes in an
# answer, over the answer's norm (`condition_contribution`), and how much more answers to different objects vary than
# those to one, from other noise (`between_over_within`: of the means of four answers each, so that noise alone gives a
# quarter).

# %%
of_few, of_blind = ({name: fitted.pop(name)} for name in ("eight shapes", "no views"))
of_count = {len(few.entries): of_few["eight shapes"]} | {count: fitted.pop(name) for count, name in fewer.items()}
asked = {"heads": heads, "views": setup.views, "seed": seed}
models, given, codes = weight_answers.answers(fitted, shapes, **asked)
codes |= weight_answers.answers(of_blind, unseen, **asked)[2]
ranking, facts = weight_answers.judged(codes, shapes, prepared, resolution=ranked_resolution)
facts = facts.merge(weight_samples.strengths(models, given, seed=seed), how="left")
results.save_table(chapter, ranking, "ranking", caption="Where the own shape ranks, three ways.")
caption = "The test of collapse; and how far answers spread, and in the right direction, once the mean is subtracted."
results.save_table(chapter, facts, "collapse", caption=caption)
caption = "The answer to one view of each shape, and the five training shapes whose weights are nearest by cosine."
results.save_table(chapter, weight_answers.nearest(codes["one view"], shapes), "nearest", caption=caption)
checkpoint.write(chapter.artifacts / "answers.safetensors", {k: v.contiguous() for k, v in codes.items()}, {})
by = facts.set_index("run")
results.record_metrics(
    chapter,
    {"weight_dit_collapsed": by.collapsed["one view"]}
    | {f"{n.replace(' ', '_')}_fails": float(by.kind[n] in collapse.ASTRAY) for n in ("longer", "noise target")}
    | {"cure_positive_control": float(deserved_kind["mean"] in collapse.ASTRAY)}
    | {"cure_negative_control": float(deserved_kind["truth"] in collapse.ASTRAY)}
    | {"longer_iou": by.IoU["longer"], "noise_target_iou": by.IoU["noise target"], "longer_own": by.own["longer"]}
    | {"no_views_collapsed": by.collapsed["no views"], "longer_share": longer_steps / steps}
    | {"cosine_to_target": by.to_target["one view"], "central_attractors": by.central["one view"]}
    | {"cosine_to_attractors": by.to_attractors["one view"], "spread": by.spread["one view"]}
    | {"direction": by.direction["one view"], "own_first_centred": by.own["one view"]}
    | {"own_first_no_views": by.own["no views"], "own_first_by_chance": 1 / len(own)}
    | {"spread_no_views": by.spread["no views"], "one_view_iou": by.IoU["one view"], "no_views_iou": by.IoU["no views"]}
    | weight_answers.controls(shapes, seed=seed),
)
results.say(
    chapter,
    "The cosine to the target is {cosine_to_target:.4f}, to the four shapes that rank first most often "
    "{cosine_to_attractors:.4f}; {central_attractors:.0f} of the three nearest to the mean are among these. Less the "
    "mean, the own shape is first for {own_first_centred:.0%} of the images ({own_first_no_views:.0%} without views, "
    "{own_first_by_chance:.0%} by chance). The answers spread {spread:.2f} as far as the truth ({spread_no_views:.2f} "
    f"without views): they are read as {by.kind['one view']}. Their fields have an IoU of {{one_view_iou:.2f}} with "
    "the own decoders, {no_views_iou:.2f} without views.",
)
# %% [markdown]
# ## More steps, another target
#
# What the network says of a token lies in the span of its last layer, which has as many columns as the network is wide.
# Noise fills all directions alike: at least a share $1 - d / n$ of it cannot be said, for $n$ weights a token
# and width $d$. A run *fails* if its answers, less the mean, hardly spread or do not follow the views; the mean of all
# weights must fail, the truth must not.

# %%
floor = {"noise_target_floor": 1 - width / -(-shapes.vectors.shape[1] // TOKENS)}
of_noise = weight_answers.by_time(models["noise target"], shapes, given, seed=seed)["implied noise loss"].mean()
floor |= {"noise_floor_thesis": 1 - 768 / network.token_dim, "noise_target_loss": of_noise}
results.record_metrics(chapter, floor)
results.say(
    chapter,
    "The networks above took {steps:,} steps, that of eight shapes {eight_steps:,}, the thesis's 30,000. "
    "After {longer_share:.0f} times the steps the own shape is first for {longer_own:.0%}, with an IoU of "
    f"{{longer_iou:.2f}}; the answers are read as {by.kind['longer']}. Asked for the noise, the network misses "
    "{noise_target_loss:.3f} of it, where {noise_target_floor:.3f} is the least at this width and "
    "{noise_floor_thesis:.3f} at the thesis's: it cannot say what it is asked for. Its answers have an IoU of "
    f"{{noise_target_iou:.2f}} and are read as {by.kind['noise target']}.",
)

# %% [markdown]
# ## Loss by noise level
#
# The thesis measured a flat loss and took it for the proof that no other target would help. Its noise losses follow
# from the others, as $x_t$ fixes noise by $x_0$:
# $\mathrm{MSE}_\epsilon = \mathrm{MSE}_{x_0} \bar\alpha / (1 - \bar\alpha)$.

# %%
times = weight_answers.by_time(models["one view"], shapes, given, seed=seed)
times["thesis"] = times.t.map(weight_answers.THESIS_LOSS)
results.save_table(chapter, times, "by_time", caption="The x0 loss by timestep, right and wrong views; the thesis's.")
printed = weight_answers.THESIS_LOSS
implied = implied_noise_mse(torch.tensor(list(printed.values())), cosine_alpha_bar()[list(printed)])
results.record_metrics(
    chapter,
    {f"implied_noise_mse_{t}": float(v) for t, v in zip(printed, implied, strict=True)}
    | {"x0_loss_min": times["x0 loss"].min(), "x0_loss_max": times["x0 loss"].max()}
    | {"x0_loss_t0": times["x0 loss"][0]}
    | {"weight_condition_contribution": weight_answers.nudge(models["one view"], given, seed=seed)},
)
results.say(
    chapter,
    "The loss is {x0_loss_min:.3f} to {x0_loss_max:.3f}. The view turns an answer by "
    "{weight_condition_contribution:.1%}: one less the cosine to the answer that the same noise gives without a view.",
)

# %% [markdown]
# ## Eight shapes: learned by heart, and found again?
#
# The control's loss by noise level, and its answers to the views of its eight shapes.

# %%
networks, views_of_few, codes_of_few = weight_answers.answers(of_few, few, **asked)
by_heart = weight_answers.by_time(networks["eight shapes"], few, views_of_few, seed=seed)
results.save_table(chapter, by_heart, "eight_by_time", caption="Eight shapes: the x0 loss by timestep.")
followed = collapse.following(codes_of_few["eight shapes"].numpy(), few.vectors.numpy(), own[: len(few.entries)])
results.record_metrics(
    chapter,
    {"eight_loss_t200": by_heart.set_index("t")["x0 loss"][200], "eight_own": followed["own"]}
    | {"eight_wrong_loss_t200": by_heart.set_index("t")["with shuffled views"][200]}
    | {"eight_iou": weight_answers.field_ious(codes_of_few["eight shapes"], few.vectors, few).mean()},
)
results.say(
    chapter,
    "At $t = 200$ the loss is {eight_loss_t200:.4f}, and {eight_wrong_loss_t200:.4f} with the wrong views. From the "
    "views alone, its own shape ranks first for {eight_own:.0%} of them, and the answers have an IoU of "
    "{eight_iou:.2f} with the own decoders.",
)
if chapter.metrics["eight_wrong_loss_t200"] < 0.1:
    results.say(
        chapter,
        "So the network knows its shapes by heart and tells them apart mostly by the noisy weights: right views lower "
        "a loss that is small without them. A low loss, flat in $t$, is no sign that images decide (see `09`).",
    )

# %% [markdown]
# ## Are there too many shapes?
#
# The same for the first twenty, and so on up to all: as many steps for each but the eight, which have as many or more.
# If shapes are merely too many to be learned in these steps, fewer of them bring the answers to their own: to be
# nearest to one's own shape, less the mean, is not enough for that, if the mesh has no more of it than the mean of all
# has.

# %%
table = weight_answers.by_count(of_count | {len(own): fitted["one view"]}, shapes, **asked)
results.save_table(chapter, table, "by_count", caption="By the number of training shapes.")
results.record_metrics(chapter, weight_answers.count_metrics(table))
results.say(
    chapter,
    "Of {fewer_shapes} shapes the own one is first for {fewer_own:.0%} of the images, and the answers have an IoU of "
    "{fewer_iou:.2f} with the own decoders; the mean of their weights has {fewer_mean_iou:.2f}.",
)

# %% [markdown]
# ## The meshes
#
# What the weights decode to: the true decoders, the answers to one view, and the mean of all weights.

# %%
chosen = [int(i) for i in np.linspace(0, len(own) - 1, min(5, len(own)))]
mean = shapes.vectors.mean(0).expand_as(shapes.vectors)
rows = {"own decoder": shapes.vectors, "one view": codes["one view"], "mean of all": mean}
drawn = meshes(rows, shapes, chosen, resolution)
titles = weight_samples.titled([f"{name}: {shapes.entries[i].category}" for name in rows for i in chosen], drawn)
figure = figures.mesh_grid(drawn, titles, columns=len(chosen), size=2)
results.save_figure(chapter, figure, "meshes", caption="Decoded: own weights, answers to one view, mean.", key=True)

# %%
results.record_claims(chapter, ["W1", "W2", "W3", "W5", "W6", "W7", "W11", "W12"])
results.finish(chapter, encoder=True, inputs=shapes.keys)
