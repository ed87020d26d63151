"""How the pages become a site: `sphinx-build -W docs docs/_build/html`.

`BAYESFACTOR_QUICK=1` in the environment makes the markets of the examples small. Nothing is fetched.
"""

import os
import re
import shutil
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
# The kernels that run the pages are processes of their own: there figures are shown.
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"

import bayesfactor  # after the backend is chosen

ROOT = Path(__file__).resolve().parents[1]

project = "bayesfactor"
author = "bayesfactor contributors"
project_copyright = "bayesfactor contributors, Apache-2.0"
version = release = bayesfactor.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery/*.ipynb", "**/sg_execution_times.rst", "sg_execution_times.rst"]
nitpicky = False
suppress_warnings = ["config.cache"]  # the functions below cannot be pickled, which is all it says

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"  # of the pages that say `file_format: mystnb`
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_execution_in_temp = True  # pages save fits and reports

autodoc_typehints = "none"  # the docstrings say the types, with dims
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# An example runs where it lies and some write files: a copy keeps the checkout clean.
scripts = ROOT / "docs" / "_build" / "examples"
shutil.copytree(ROOT / "examples", scripts, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))

sphinx_gallery_conf = {
    "examples_dirs": str(scripts),
    "gallery_dirs": "gallery",
    "filename_pattern": r"/\d\d_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "capture_repr": ("_repr_html_",),
    "download_all_examples": False,
    "copyfile_regex": "",
    "show_memory": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "bayesfactor"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

_ELSEWHERE = (
    (re.compile(r"\]\(\.\./examples/(\w+)\.py\)"), r"](gallery/\1.rst)"),
    (re.compile(r"\]\(\.\./examples\)"), "](gallery/index.rst)"),
    (re.compile(r"\]\(\.\./models\)"), "](models.md)"),
    (re.compile(r"\]\(\.\./(CONTRIBUTING|CHANGELOG)\.md\)"), lambda m: f"]({m[1].lower()}.md)"),
    (re.compile(r"\]\(docs/(\w+)\.md\)"), r"](\1.md)"),
)
"""Links that hold in a checkout become links that hold on the site."""


def _at_home(_app, _name, source):
    for pattern, new in _ELSEWHERE:
        source[0] = pattern.sub(new, source[0])


def _included(_app, _path, _parent, source):
    _at_home(None, None, source)


def setup(app):
    """Rewrite links as pages are read."""
    app.connect("source-read", _at_home)
    app.connect("include-read", _included)
