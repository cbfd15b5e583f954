"""Make the smaller model: slice tensors, set attributes, skip blocks, try cuts."""
