"""Every error dgad raises on purpose, as one tree.

`UserError` and its children are the user's to mend: the command line prints their one sentence and
exits 2, HTTP answers 4xx with it. Everything else below `DgadError` is ours and exits 1.
A message says what must hold, what came, and what to do instead. Warnings are issued with `warnings.warn`;
the command line prints their sentence to standard error.
"""


class DgadError(Exception):
    """Root of every error that dgad raises on purpose."""


class UserError(DgadError):
    """Something the user can mend: one clear sentence, no traceback."""


class SettingsError(UserError):
    """A setting, study file or option is unknown, of the wrong type or out of range."""


class DataError(UserError):
    """A data set, domain, fold or reference draw cannot be had as asked."""


class ImageError(DataError):
    """One image cannot be decoded, or is larger than the decoding bounds."""


class WeightsError(UserError):
    """Backbone weights cannot be had; the message names the alternatives."""


class BundleError(UserError):
    """A bundle is missing, damaged or of a newer format."""


class RecordError(UserError):
    """A run folder or one of its records is missing, damaged or of a newer format."""


class ClusterError(UserError):
    """A cluster cannot be brought up, asked or taken down."""


class UnreachableError(ClusterError):
    """A host cannot be reached, or refuses whoever asks."""


class DgadWarning(UserWarning):
    """Something the user should know that stops nothing: the command line prints its one sentence."""


class DataWarning(DgadWarning):
    """A data set can be used, but some figures on it would be missing, weak or not what they seem."""


class TrainingError(DgadError):
    """A fit broke off, for example on a loss that is not finite."""


class StoreError(UserError):
    """A reference store cannot be read, written or used as asked."""


class UnwritableStoreError(StoreError):
    """A reference store does not take what is written to it, as on a full disk."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        """The system's own words, without a path; empty where it has none."""


class GoneStoreError(StoreError):
    """A reference store was removed, replaced or unmounted while it is in use."""


class MissingError(StoreError):
    """There is no such domain, version or reference."""


class ConflictError(StoreError):
    """What is asked for contradicts what is there already."""
