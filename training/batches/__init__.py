"""From samples to batches: what is drawn, with which random numbers, and two renderers that make the same views."""
