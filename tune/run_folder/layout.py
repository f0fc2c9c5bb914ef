"""Names of all that a runs folder holds, and the keys under which an Optuna journal keeps a trial's facts.

No other module of `tune` spells one of them. They are a format: what was written under them must be found.
"""

from dgad.report.summary import FILE_NAME as SUMMARY_FILE

__all__ = ["SUMMARY_FILE"]

# Files of a study's folder.
STUDY_FILE = "study.yaml"
INFO_FILE = "run.json"
LOG_FILE = "launch.log"
RUNNING_FILE = ".running.json"
ENDED_FILE = ".ended.json"
LOCK_FILE = ".lock"
REPORT_FILE = "report.html"
"""As `dgad.report.page` names it, whose import would take a second; a test compares them, here and below."""

# Folders of a study's folder.
RECORDS_FOLDER = "records"
LEDGER_FOLDER = "ledger"
JOURNALS_FOLDER = "optuna"
LOGS_FOLDER = "logs"
"""Tracebacks of fits that failed."""
DATA_FOLDER = "data"
"""The demo's images."""
RAY_FOLDER = "ray"
"""Ray Tune's own bookkeeping, removed after a search."""
TENSORBOARD_FOLDER = "tensorboard"
BUNDLE_FOLDER = "bundle"
REPORT_FOLDER = "report"
"""Tables and figures of the report, as files."""
EXAMPLES_FOLDER = "examples"
"""Pictures for the report."""

# Beside the studies.
SHARED_FOLDER = ".shared"
"""Fits and records by content address, for every study of the runs folder; holds `RECORDS_FOLDER` too."""
FITS_FOLDER = "fits"
FIT_LOCKS_FOLDER = "locks"
FIT_FILE = "fit.json"
FIT_WEIGHTS_FILE = "weights.safetensors"

# User attributes of a trial in a journal; a trial reports the first three to Ray Tune by the same names.
SCORES_KEY = "inner_scores"
"""JSON of the first objective by inner fold, of a finished trial."""
VALUES_KEY = "values"
"""JSON of the mean of every figure over the inner folds, of a finished trial."""
ERROR_KEY = "error"
"""Why a trial failed, of every failed one."""
RETRY_OF_KEY = "retry_of"
"""The number of the failed trial that a trial repeats."""
SETTINGS_KEY = "settings"
"""JSON of the trial's complete settings."""
POINT_KEY = "point"
"""The position in the initial design of a trial that was queued from it."""
ORIGIN_KEY = "origin"
"""Where such a trial comes from: `preset NAME` or `quasi-random`."""
