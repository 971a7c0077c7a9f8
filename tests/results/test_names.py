import pytest

from netviz.results.names import slug, unique_name


def test_names_are_unique_without_regard_to_capitals():
    taken = set()
    assert [unique_name(name, taken) for name in ("a", "A", "a", "b", "a-2")] == [
        "a",
        "A-2",
        "a-3",
        "b",
        "a-2-2",
    ]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("layer1.0.conv1", "layer1.0.conv1"), ("../é b", "b"), ("…", "x"), ("a" * 99, "a" * 80)],
)
def test_slugs_hold_only_what_every_file_system_takes(name, wanted):
    assert slug(name) == wanted
