"""The decoder: layers, weights and the operations they are made of."""
