"""What a command hands on are keywords of its function."""

import inspect
import typing

import pytest
from PIL import Image

import netviz
from netviz.cli.main import netviz as group
from netviz.questions.table import commands

OWN = {
    "layers": {"as_json"},
    "maps": {"as_json", "out", "images"},
    "minimal": {"as_json", "out", "images", "strict"},
    "dense": {"as_json", "out", "compare", "regions"},
    "sift": {"as_json", "out", "match"},
    "optimize": {"as_json", "out", "resume"},
    "patches": set(),
    "dissect": set(),
    "attribute": {"as_json", "out", "check"},
}
"""Options that are the command's own, or another function's that it calls too."""

ALSO = {"attribute": ("attribute_check",), "votes": ("votes_set",)}
"""Other functions that a command calls."""


def keywords(function):
    parameters = inspect.signature(function).parameters
    (options,) = typing.get_args(parameters["options"].annotation)
    return {*parameters, *typing.get_type_hints(options)}


@pytest.mark.parametrize("verb", sorted({*commands()} - {"fcn"}))
def test_every_option_is_a_keyword_of_the_function(verb):
    asked = {option.name for option in group.commands[verb].params if option.expose_value}
    taken = set().union(*(keywords(getattr(netviz, name)) for name in (verb, *ALSO.get(verb, ()))))
    assert asked - OWN.get(verb, {"as_json", "out"}) <= taken


def test_how_large_a_picture_is(netviz, tmp_path):
    for asked, width in ((("--width", 1000), 1000), (("--dpi", 50), None)):
        out = tmp_path / "f.png"
        assert netviz("filters", "support.network:Labeller", *asked, "-o", out).status == 0
        with Image.open(out) as picture:
            assert picture.width == (width or 380)
    for wrong, said in (
        (("--width", 1000, "--dpi", 50), "give one of them"),
        (("--dpi", "nan"), "nan is no number"),
        (("--width", 1000, "-o", tmp_path / "f.svg"), "only a .png has"),
    ):
        done = netviz("filters", "support.network:Labeller", *wrong)
        assert done.status in (1, 2)
        assert said in done.err
