"""A real S3 server as a process, its bucket filled from the start: python tests/storage_process.py PORT BUCKET KEYS."""

import sys
import time

from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer


def main() -> None:
    """Fill a bucket and serve until the process is ended."""
    port, bucket, keys = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    backend = s3_backends["123456789012"]["aws"]
    backend.create_bucket(bucket, "us-east-1")
    for number in range(keys):
        backend.put_object(bucket, f"many/{number:06d}", b"")
    ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False).start()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
