"""The hosts of a cluster: brought up, reached through ssh, looked at for what still lives, taken down."""
