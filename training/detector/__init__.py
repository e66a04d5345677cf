"""Boxes for selection methods that look at them: a detector that learns from the labeled masks of its run."""
