"""Cut: plan and model in, smaller model out, verified. The original is never touched."""
