"""The WebAssembly target: IR to wasm32 objects and linked modules."""
