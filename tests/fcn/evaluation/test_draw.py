import numpy as np
import pytest
from matplotlib.patches import Rectangle

from netviz.fcn.evaluation.result import SegmentationResult
from netviz.paper import style
from netviz.questions.drawing import draw, figure

STREAMS = ("32s", "8s")
CLASSES = ("sky", "$road$\n<b>", "x" * 300)


def result(boundary=True):
    shares = {"32s": 0.25, "8s": 0.5}
    metrics = {
        name: {
            "pixel_accuracy": share,
            "mean_accuracy": share / 2,
            "mean_iu": share / 4,
            "frequency_weighted_iu": None,
            # The last class does not occur.
            "per_class": {"sky": share, "$road$\n<b>": 1 - share},
        }
        for name, share in shares.items()
    }
    curve = {name: tuple(share * at / 20 for at in range(1, 21)) for name, share in shares.items()}
    return SegmentationResult(
        metrics=metrics,
        boundary=curve if boundary else {},
        streams=STREAMS,
        classes=CLASSES,
        images=2,
        pixels=1234,
        network="net",
        origin="",
        input="",
        tables={name: np.zeros((3, 3), dtype=np.int64) for name in STREAMS},
    )


def test_bars_are_as_long_as_the_metrics():
    drawn = figure(result())
    bars = [
        patch for patch in drawn.axes[0].patches if isinstance(patch, Rectangle) and patch.get_height() == 8
    ]
    for number, name in enumerate(STREAMS):
        mine = [bar for bar in bars if bar.get_facecolor()[:3] == colour(style.CLASSES[number])]
        lengths = np.array([bar.get_width() for bar in sorted(mine, key=Rectangle.get_y)])
        share = {"32s": 0.25, "8s": 0.5}[name]
        # No bar for what has no number.
        np.testing.assert_allclose(
            lengths / lengths[0] * share, [share, share / 2, share / 4, share, 1 - share]
        )
    texts = [text.get_text() for text in drawn.axes[0].texts]
    assert texts.count("–") == 4
    assert "75.0" in texts


def colour(text):
    return tuple(value / 255 for value in style.rgb(text))


def test_the_curve_is_the_boundarys_and_may_be_missing():
    (axes,) = [axes for axes in figure(result()).axes if axes.get_label() == "boundary"]
    for line, share in zip(axes.lines, (25, 50), strict=True):
        np.testing.assert_allclose(line.get_ydata(), share * np.arange(1, 21) / 20)
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 21))
    assert not [axes for axes in figure(result(boundary=False)).axes if axes.get_label() == "boundary"]


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_files_are_the_same_twice(tmp_path, suffix):
    first, second = (draw(result(), tmp_path / f"{number}.{suffix}").read_bytes() for number in range(2))
    assert first == second
