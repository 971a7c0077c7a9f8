"""Result folders → a static site that opens from disk: manifest, pages, templates, static."""

from .build import BuildReport, build
from .site import check_site

__all__ = ["BuildReport", "build", "check_site"]
