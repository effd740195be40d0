"""The service: a CPU ingress that speaks HTTP and a deployment that holds the model."""
