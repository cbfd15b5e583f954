"""What structures of a model do on data, and what a change of the model did."""
