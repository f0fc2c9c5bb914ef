"""Data sets as folder trees like MVTec AD's: variants, what folders and sidecars mean, what is left over."""
