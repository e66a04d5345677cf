"""What leaves the training machine: one ONNX file per student, and labels as COCO masks."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
"""ONNX Runtime reports its use to its makers from the moment it is loaded on; asking it to stop later is too late."""
