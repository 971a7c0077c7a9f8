"""Reading a row of positions between them, linearly."""

import numpy as np
from numpy.typing import NDArray


def linear_weights(places: NDArray[np.floating], length: int) -> NDArray[np.float64]:
    """Return the matrix that reads a row of positions at given places, linearly.

    Before the first position and beyond the last its own value stands.

    Parameters
    ----------
    places : ndarray of shape (K,)
        Counted in positions; the first lies at 0.
    length : int
        How many positions there are, at least 1.

    Returns
    -------
    ndarray of float64, shape (K, length)
        At most two numbers of a row are not 0; each row sums to 1.
    """
    places = np.clip(np.asarray(places, dtype=np.float64), 0, length - 1)
    low = np.minimum(np.floor(places).astype(np.intp), max(length - 2, 0))
    matrix = np.zeros((len(places), length))
    each = np.arange(len(places))
    matrix[each, low] = 1 - (places - low)
    # Of a single position both neighbours are that one, at a distance of 0.
    matrix[each, np.minimum(low + 1, length - 1)] += places - low
    return matrix
