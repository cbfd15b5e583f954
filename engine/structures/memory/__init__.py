"""Memory of a forward: the activations that live at the same time, and their peak."""
