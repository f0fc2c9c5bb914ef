"""The commands of `dgad-serve`, one file each; what is slow to import they import when they run."""
