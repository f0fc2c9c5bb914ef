"""What is remembered of references: patches that cover the others, and the distances of a query to them."""
