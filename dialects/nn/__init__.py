"""The `nn` dialect: tensor operations that mean what they say."""
