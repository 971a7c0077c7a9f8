"""Where in the image a layer looks: receptive fields by rules, by gradient and by occlusion."""
