"""Networks in the formats of other libraries: ONNX, transformers, timm, segmentation_models_pytorch."""
