"""Teacher-student training from few labels and many unlabeled images: configuration, step, loop, checkpoints."""
