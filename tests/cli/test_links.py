"""``netviz links``: what it prints and writes, without weights of any network's."""

import json

NET = ("squeezenet1_1", "--weights", "none", "--size", "64", "--layer")


def test_what_is_printed_is_what_the_result_reports(netviz, tmp_path):
    done = netviz("links", *NET, "features.12.squeeze", "--unit", "3", "--top", "2", "-o", tmp_path / "a.npz")
    first, built, _, feeds, links = done.out.splitlines()
    assert first == "squeezenet1_1, features.12.squeeze (conv23): unit 3 of 64"
    assert built == "built from features.11.expand3x3_activation (relu22), 256 units:"
    assert feeds == "feeds features.12.expand1x1 (conv24), 256 units:"
    assert len(links.split(",")) == 2
    assert netviz("report", tmp_path / "a.npz").out == done.out


def test_facts_are_numbers(netviz, tmp_path):
    done = netviz("links", *NET, "conv2", "--unit", "-1", "--json")
    facts = json.loads(done.out)
    assert facts["unit"] == 15
    strongest = facts["before_strongest"]
    assert [one["norm"] for one in strongest] == sorted((one["norm"] for one in strongest), reverse=True)
    assert facts["before"]["layer"] == "features.2"
    assert not list(tmp_path.iterdir())


def test_layers_are_named_and_non_linearities_opened(netviz, tmp_path):
    asked = ("links", *NET, "conv2", "--unit", "0", "-o", tmp_path / "a.png")
    done = netviz(*asked, "--from", "relu1", "--to", "conv5", "--through", "2")
    assert "built from features.1 (relu1), 64 units, as if features.2 (pool1) were not there:" in done.out
    assert (tmp_path / "a.png").stat().st_size


def test_classes_are_printed(netviz, tmp_path):
    net = ("resnet18", "--weights", "none", "--size", "64", "--layer", "layer4.1")
    done = netviz("links", *net, "--unit", "0", "--top", "1", "-o", tmp_path / "a.npz")
    raised, lowered = done.out.splitlines()[-2:]
    assert raised.startswith("raised: ")
    assert float(raised.split()[-1]) > 0 > float(lowered.split()[-1])
