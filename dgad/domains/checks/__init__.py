"""Everything that can be wrong with a data set: what its check lists, what those who use it are warned of."""

from dgad.domains.checks.dataset import CheckResult, check_dataset
from dgad.domains.checks.listing import check_listing, warn_of

__all__ = ["CheckResult", "check_dataset", "check_listing", "warn_of"]
