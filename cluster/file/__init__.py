"""Ray's cluster file: read with its lines, validated, asked by name; and the templates of such files."""
