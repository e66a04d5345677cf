"""What leaves the training machine: one ONNX file per student, and labels as COCO masks."""
