"""Rules on values: regions, queue, decisions, promotion. numpy, OpenCV and scikit-image; reads and writes nothing."""
