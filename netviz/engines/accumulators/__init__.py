"""What is measured over many images, whatever their order and grouping."""
