"""Sphinx builds these pages: `make docs`."""

from __future__ import annotations

from importlib.metadata import version as version_of


project = "lucidic-adapters"
copyright = "the authors of lucidic-adapters"  # Sphinx's name
version = release = version_of("lucidic-adapters")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "lucidic-adapters"

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "groupwise"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 100
napoleon_google_docstring = True
napoleon_numpy_docstring = False
