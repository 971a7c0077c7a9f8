"""Receptive fields: where in the image a layer looks, by geometry, by gradient and by occlusion."""
