"""The deployment on Ray Serve: the application, its ingress, and how versions are rolled out."""
