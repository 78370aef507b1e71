"""How the pages are built; `docs/build.py` writes them first. Nothing is fetched."""

import pathlib
import tomllib

_about = tomllib.loads((pathlib.Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

project = "Understudy"
author = "The Understudy developers"
copyright = author
version = release = _about["version"]
extensions = ["myst_parser", "sphinx.ext.githubpages"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["pictures"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]
smartquotes = False
html_theme = "furo"
html_title = f"Understudy {release}"
html_show_sphinx = False
html_copy_source = False
html_show_search_summary = False  # it would be fetched, which a browser refuses for files
html_static_path = ["_static"]
html_css_files = ["catalogue.css"]
pygments_style = "friendly"
pygments_dark_style = "monokai"


def _open_where_one_is(app, page, template, context, tree):
    """The navigation shows what lies beside a page, not every method on every page."""
    if "toctree" in context:
        whole = context["toctree"]
        context["toctree"] = lambda **asked: whole(**asked | {"collapse": True})


def setup(app):
    """Before the theme draws its navigation."""
    app.connect("html-page-context", _open_where_one_is, priority=400)
