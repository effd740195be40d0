"""Reports: pages that open without a server, of what evaluation and comparison measured."""
