"""Result folders → a static site that opens from disk: manifest, pages, templates, static."""

from .build import BuildReport, build

__all__ = ["BuildReport", "build"]
