"""Recipes: the recorded steps from the original to a state; run again, matched with another model, as Python."""
