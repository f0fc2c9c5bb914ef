"""What a study is: its settings, objectives, cells and data."""
