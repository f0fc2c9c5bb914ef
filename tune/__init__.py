"""Search over methods, folds and settings with Ray Tune and Optuna, and the command `dgad-tune`."""

from cluster.embedded import prepare_environment

prepare_environment()  # before any module of this package imports Ray, which reads it once
