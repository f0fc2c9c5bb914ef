"""Ray Serve's deployments: replicas that score, the one that writes, and those that listen."""
