"""What can be known of a cluster file, or a file for Kubernetes, before anything starts."""
