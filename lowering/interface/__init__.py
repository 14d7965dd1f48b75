"""Passes on level `nn` that change what `@main` takes and gives: pictures, classes, names."""
