import re

from netviz.gallery.names import LONGEST, is_path, safe_names


def test_safe_names_stay_as_they_are() -> None:
    names = ["features.0.0", "conv1_1", "block-2", "7"]
    assert safe_names(names) == names


def test_hostile_names_become_plain_and_stay_apart(hostile: list[str]) -> None:
    names = [*hostile, "", ".", "..", "a/b", "a\\b", "x" * 300, "con\0", "caf\u00e9", "\ud800", "trailing."]
    made = safe_names(names)
    assert len({name.casefold() for name in made}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) and len(name) <= LONGEST for name in made)
    assert made == safe_names(names)


def test_names_that_a_file_system_takes_for_one_are_told_apart() -> None:
    assert safe_names(["Cat", "cat", "CAT"]) == ["Cat", "cat-2", "CAT-3"]


def test_reserved_names_are_left_alone() -> None:
    assert safe_names(["static"], reserved=["static"]) == ["static-2"]


def test_paths() -> None:
    assert is_path("toy/maps/layer1/cat.png")
    assert not any(
        is_path(path) for path in ("", "/etc/passwd", "../a", "a/../b", "a//b", ".git/config", "a/")
    )
