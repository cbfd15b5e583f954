"""Labels of indices and the solver that makes coupled sets of them."""
