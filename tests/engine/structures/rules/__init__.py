"""One file a family of operators: a small model that has them is cut, verified, and a wrong index is found."""
