"""The WebGPU target: IR to WGSL text."""
