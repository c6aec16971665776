"""Sphinx settings of the book: everything from local files, nothing executed."""

project = "flowsdf"
author = "The flowsdf authors"
extensions = ["myst_nb"]
html_theme = "pydata_sphinx_theme"
html_title = "flowsdf"
templates_path = ["_templates"]
html_sidebars = {"**": ["chapters.html"]}
html_static_path = ["_static"]
html_extra_path = ["_files"]
html_css_files = ["flowsdf.css"]
html_js_files = [("flowsdf.js", {"defer": "defer"})]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
html_theme_options = {
    "secondary_sidebar_items": {"**": ["page-toc"], "99_ledger": []},
    "navbar_start": ["navbar-logo"],
    "navbar_center": [],
    "navbar_end": ["theme-switcher"],
    "footer_start": [],
    "footer_end": [],
    "show_prev_next": True,
    "show_nav_level": 2,
}
html_context = {"default_mode": "light"}
nb_execution_mode = "off"
nb_ipywidgets_js: dict = {}
nb_output_stderr = "remove"
nb_render_markdown_format = "myst"
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
myst_enable_extensions = ["dollarmath", "amsmath"]
mathjax_path = "tex-svg.js"
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]
