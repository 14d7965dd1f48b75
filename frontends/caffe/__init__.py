"""Caffe networks (`.prototxt` and `.caffemodel`) to ONNX, without Caffe."""
