"""Services from outside: started here, put on a cluster, rolled out, found again."""
