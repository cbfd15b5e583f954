"""Runs models: what they are called with, in bfloat16, in parts where memory is short."""
