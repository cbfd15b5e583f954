"""The target value that a language model's loss and metric ignore."""

NOT_ASKED = -100
"""What torch's cross entropy leaves out."""
