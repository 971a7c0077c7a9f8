"""What a picture says."""

from matplotlib.figure import Figure


def texts(drawn: Figure) -> str:
    """All that is written on the paper, in the order in which it was."""
    return " ".join(text.get_text() for text in drawn.axes[0].texts)
