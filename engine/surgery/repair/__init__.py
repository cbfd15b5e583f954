"""Make the forward fit the smaller tensors: attributes, literals, repeats, and the audit that finds what is needed."""
