"""Packages: all of ``netviz/``, with ``cli/`` and ``gallery/`` mapped into it."""

from setuptools import find_packages, setup

MAPPED = {f"netviz.{folder}": folder for folder in ("cli", "gallery")}

setup(
    packages=[
        *find_packages(include=["netviz", "netviz.*"]),
        *MAPPED,
        *(f"netviz.{name}" for folder in MAPPED.values() for name in find_packages(include=[f"{folder}.*"])),
    ],
    package_dir={"netviz": "netviz", **MAPPED},
)
