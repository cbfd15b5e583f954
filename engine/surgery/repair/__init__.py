"""Adapts a model's code to the smaller tensors: attributes, literals, repeats, and the audit that finds them."""
