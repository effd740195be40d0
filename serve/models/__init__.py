"""The models behind the API: replicas, calls to them, jobs and the gallery."""
