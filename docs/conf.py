"""How the pages are built: `make docs`, in which every warning is an error, such as a link that leads nowhere."""

project = "nnunet_assets"
copyright = "the authors; Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# Links to headings, as `page.md#heading`, three levels deep.
myst_heading_anchors = 3
html_theme = "alabaster"
html_theme_options = {"fixed_sidebar": True, "page_width": "1100px"}
autodoc_member_order = "bysource"
