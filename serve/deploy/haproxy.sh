#!/bin/sh
# Starts HAProxy as Ray Serve asks (-db -f FILE …), but with its statistics and metrics on loopback: Ray opens them to all.
sed -i -e "s/bind \*:$RAY_SERVE_HAPROXY_STATS_PORT\$/bind 127.0.0.1:$RAY_SERVE_HAPROXY_STATS_PORT/" \
    -e "s/bind :$RAY_SERVE_HAPROXY_METRICS_PORT\$/bind 127.0.0.1:$RAY_SERVE_HAPROXY_METRICS_PORT/" "$3"
exec "$DIFFUSEGAE_HAPROXY" "$@"
