"""WebDNN: compile a trained model into a package that any browser runs by itself."""
