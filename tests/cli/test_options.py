"""What a command hands on are keywords of its function."""

import inspect
import typing

import pytest

import netviz
from netviz.cli.main import netviz as group
from netviz.questions.table import commands

OWN = {
    "layers": {"as_json"},
    "maps": {"as_json", "out", "images"},
    "minimal": {"as_json", "out", "images", "strict"},
    "dense": {"as_json", "out", "compare", "regions"},
    "sift": {"as_json", "out", "match"},
    "patches": set(),
    "dissect": set(),
}
"""Options that are the command's own, or another function's that it calls too."""


def keywords(function):
    parameters = inspect.signature(function).parameters
    (options,) = typing.get_args(parameters["options"].annotation)
    return {*parameters, *typing.get_type_hints(options)}


@pytest.mark.parametrize("verb", sorted({*commands()} - {"fcn"}))
def test_every_option_is_a_keyword_of_the_function(verb):
    asked = {option.name for option in group.commands[verb].params if option.expose_value}
    assert asked - OWN.get(verb, {"as_json", "out"}) <= keywords(getattr(netviz, verb))
