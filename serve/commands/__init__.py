"""The commands of `dgad-serve`, a file for those that belong together."""
