"""How much memory a forward holds: activations that live at once, and the peak."""
