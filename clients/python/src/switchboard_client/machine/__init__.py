"""What the client decides, without any I/O: when to come back, by which transport, from where."""
