"""What goes over the wire: bodies of requests and answers, and the client that reads them."""
