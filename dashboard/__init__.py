"""The pages: they select, read, have computed and draw. No metric is computed in this house."""
