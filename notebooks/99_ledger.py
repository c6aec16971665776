# %% [markdown]
# # The ledger
#
# Every measurable sentence of the thesis, declared with its test before the runs that judge it. A verdict never says
# more than the scale allows: with built-in shapes or the shipped encoder, a number is at most partly reproduced.

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
# ## Every claim

# %%
judged = rows[rows.measured.ne("")]
columns = ["id", "statement", "reported", "measured", "verdict", "scale", "reason"]
results.save_table(chapter, judged[columns], "judged", caption="The claims that chapters of this report measure.")
results.save_table(chapter, rows[["id", "chapter", "verdict", "reason"]], "ledger", caption="All claims.")
results.finish(chapter)
