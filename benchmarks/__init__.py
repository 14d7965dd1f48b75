"""Side-by-side benchmarks of WebDNN and its peers, and the models that they and the tests use."""
