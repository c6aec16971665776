# %% [markdown]
# # The ledger
#
# Every measurable sentence of the thesis, and some questions of our own (G), declared with their tests before the
# runs that judge them; where a run is older than its test, the reason says *post-hoc*, and where a test or a setting
# was chosen in sight of an earlier run of the same seeds, that. A verdict never says more than the scale allows: with
# built-in shapes or the shipped encoder, a number is at most partly reproduced.
#
# *Reproduced-exact*: equal to the printed digits. *Partial*: passed at this smaller scale, in some of its parts, or in
# most of the runs. *Not reproduced*: failed. *Inconclusive*: too few runs, runs that disagree, an interval that decides
# neither, or a control that failed. *Not testable here*: needs a size, a device or a chapter that is not here; what was
# measured all the same is shown. *Not testable*: the source gives no criterion. What is exact is arithmetic, sizes and
# settings; of what was trained and measured, *partial* is the most that a smaller run can reach. `next run in [low,
# high]` is where one more seed would fall.

# %% tags=["parameters"]
profile = "laptop"
data = "procedural"
artifacts = ""
report = ""

# %%
from flowsdf.report import ledger, results

chapter = results.open_chapter("99_ledger", globals())
rows = ledger.write_ledger(chapter.places)
results.record_metrics(chapter, ledger.counts(rows))

# %% [markdown]
# ## Verdicts by scale

# %%
headline = rows.groupby(["verdict", "scale"]).size().rename("claims").reset_index()
results.save_table(
    chapter, headline, "headline", caption="Claims by verdict and by the scale of the run that judged them."
)

# %% [markdown]
# ## The twelve phases
#
# What the thesis says of each of its phases, and in a sentence what the chapter found that measures it again.

# %%
results.save_table(
    chapter, ledger.phases(chapter.places, rows), "phases", caption="The phases of the thesis, then and here."
)

# %% [markdown]
# ## Every claim

# %%
columns = ["id", "statement", "reported", "measured", "verdict", "reason"]
for number, (title, part) in enumerate(ledger.by_section(rows).items()):
    results.say(chapter, f"**{title}**")
    results.save_table(chapter, part[columns], f"claims_{number}", caption=f"{len(part)} claims.")
results.finish(chapter, also=["../ledger.json"])
