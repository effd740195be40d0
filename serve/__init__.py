"""The service: http (the API), models (the replicas behind it), deploy (both on Ray Serve), page (the web page)."""
