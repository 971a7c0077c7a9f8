"""``--output``: which output of a network that returns several."""

import json


def test_on_the_command_line(netviz, photo):
    quick = ("--size", 32, "--patch", 16, "--stride", 16, "--json")
    for model, output, wanted in (
        ("Several", (), "0"),
        ("named", (), "logits"),
        ("heads", ("--output", "shape"), "shape"),
        ("heads", ("--output", 1), "shape"),
    ):
        done = netviz("occlusion", photo, "--model", f"support.network:{model}", *output, *quick)
        assert json.loads(done.out)["output"] == wanted
    done = netviz("minimal", photo, "--model", "support.network:heads", "--output", "size", "--size", 32)
    assert done.status == 1
    assert "no output 'size'; its outputs are colour (1×6), shape (1×4)" in done.err
    done = netviz("dense", photo, "--model", "support.network:Several", "--output", "1", "--json")
    assert json.loads(done.out)["output"] == "1"
    done = netviz("fcn", "show", photo, "--model", "support.network:Labeller", "--output", "8s", "--json")
    assert json.loads(done.out)["names"] == ["8s"]
    done = netviz(
        "dense", photo, "--model", "fasterrcnn_mobilenet_v3_large_fpn", "--weights", "none", "--output", 0
    )
    assert "a detection network" in done.err
