"""How the documentation is built, without a network: ``python -m sphinx -W --keep-going docs docs/_build/html``."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The tree itself is documented, whatever may be installed; the two others are this documentation's own modules.
sys.path[:0] = [str(HERE.parent), str(HERE / "_extensions"), str(HERE / "document")]

project = "trio_pool"
author = "The trio_pool contributors"
copyright = author  # noqa: A001  # Sphinx's name
version = release = installed_version("trio_pool")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxcontrib_trio",
    "names",
    "generated",
    "document_table",
    "harness_table",
    "mutation_table",
]
exclude_patterns = ["_build", "_extensions"]

# sphinxcontrib-trio extends the documenters of old; those that replaced them in Sphinx 9 know nothing of it.
autodoc_use_legacy_class_based = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_include_init_with_doc = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
# `name` in a docstring: a link if it is documented here, else code. See the extension.
default_role = "name"
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "trio_pool"
html_static_path = ["_static"]
html_css_files = ["trio_pool.css"]
html_show_copyright = False
html_copy_source = False
# No link leads to the outside for the look of it: the pages read the same without a network.
html_theme_options = {"navigation_with_keys": True}
