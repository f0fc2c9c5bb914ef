"""From one call of `dgad-tune launch` to a finished study: checks, estimate, Ray, search, refit, report."""
