"""A Ray that is not this process's own: its file, its hosts, its jobs; and a Ray embedded here."""
