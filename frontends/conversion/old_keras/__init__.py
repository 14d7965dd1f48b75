"""HDF5 files of Keras 1, 2 and 3 as models of Keras 3: configurations by tables, trained weights in today's order."""
