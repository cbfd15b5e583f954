"""Learned masks: gates on structures, which training opens and closes before anything is cut."""
