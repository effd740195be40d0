"""Look at labelled pictures and write a config for them: python jobs/init.py PHOTOS [LABELS.csv].

PHOTOS is a folder, an archive or a file; without a table it is read as one of the known sets, or by its folders' names.
"""

import argparse
import sys
from pathlib import Path

from jobs.cli import run


def main() -> None:
    """Print what is there, what ingest leaves out and what training takes; write NAME.yaml."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("photos", help="folder, archive or file of the pictures, local or s3://")
    options.add_argument("labels", nargs="?", default="", help="CSV, TSV or Parquet table: a row for each picture")
    options.add_argument("--path-column", default="", help="column of the table that names the pictures' files")
    options.add_argument("--output", default="", help="where to write the config; NAME.yaml if empty")
    options.add_argument("--force", action="store_true", help="write over a config that is there")
    arguments = options.parse_args()
    from diffusegae.survey.proposal import describe, name_of, to_yaml
    from diffusegae.survey.survey import survey

    name = Path(arguments.output).stem if arguments.output else name_of(arguments.photos)
    output = Path(arguments.output or f"{name}.yaml")
    if output.exists() and not arguments.force:
        sys.exit(f"error: {output} is there already; name another by --output, or write over it by --force")
    found = survey(arguments.photos, arguments.labels, arguments.path_column, output.with_suffix(".csv"))
    print(describe(found.labels, found.pictures, found.proposal))
    command = " ".join(["jobs/init.py", *sys.argv[1:]])
    output.write_text(to_yaml(found.proposal, found.source, name, command), encoding="utf-8")
    print(f"config     {output}; now: python jobs/pipeline.py --config {output}, then make serve CONFIG={output}")


if __name__ == "__main__":
    run(main)
