"""An extension of the site's reference of Python: a default that is a module's constant is shown as its value."""

from typing import Any

import griffe


class Defaults(griffe.Extension):
    """Put values in place of names: ``steps=32`` for ``steps=STEPS``."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Go through all functions of a package, once all of its modules are read."""
        for module in _modules(pkg):
            for function in module.functions.values():
                if not function.is_alias:
                    _put(function)


def _modules(module: griffe.Module) -> list[griffe.Module]:
    inner = [one for one in module.modules.values() if not one.is_alias]
    return [module, *(each for one in inner for each in _modules(one))]


def _put(function: griffe.Function) -> None:
    for parameter in function.parameters:
        parameter.default = _value(function, parameter.default)
    for section in function.docstring.parsed if function.docstring else ():
        if section.kind is griffe.DocstringSectionKind.parameters:
            for told in section.value:  # several that are told of in one line have each their own
                if told.name in function.parameters:
                    told.value = function.parameters[told.name].default


def _value(function: griffe.Function, default: Any) -> Any:
    """Return what a name stands for, and anything else as it is."""
    if not isinstance(default, griffe.ExprName):
        return default
    constant = function.module.modules_collection[default.canonical_path]
    return constant.value if constant.is_attribute and constant.value is not None else default
