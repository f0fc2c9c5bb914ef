"""What a finished study came to: summary, audit, importance of settings."""
