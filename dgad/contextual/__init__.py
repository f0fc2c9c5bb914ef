"""The contextual comparer's parts: alignment to the references, and a decoder that sees residuals."""
