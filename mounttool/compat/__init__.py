"""What a mount supports: tried by a probe on the nodes, and weighed against what each use needs."""
