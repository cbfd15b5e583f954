"""The target that stands where nothing is asked of a language model."""

NOT_ASKED = -100
"""What torch's cross entropy leaves out."""
