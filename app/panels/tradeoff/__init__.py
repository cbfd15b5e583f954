"""The Trade-off panel: points of cost against metric."""
