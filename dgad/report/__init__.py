"""Records and a study's summary as tables and one page."""

from dgad.report.page import write_report
from dgad.report.tables import LeaderboardRow, leaderboard, outer_records

__all__ = ["LeaderboardRow", "leaderboard", "outer_records", "write_report"]
