"""Makes the smaller model: slices tensors, sets attributes, skips blocks, tries cuts."""
