"""The subcommands of `dgad`: thin, one file each."""
