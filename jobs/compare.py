"""Train every method and measure all of them: python jobs/compare.py --config quick --seeds 1 [--ablations].

What was trained or measured before is not done again, so an interrupted comparison goes on with the same command.
"""

from jobs.cli import config_of, connect, parser, run


def main() -> None:
    """Compare, and print the summary and where report.html and results.json are."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument(
        "--seeds", type=int, default=1, help="how often each method is trained, each with its own seed"
    )
    options.add_argument(
        "--ablations", action="store_true", help="also train and measure the recipe with one thing changed"
    )
    options.add_argument("--report-only", action="store_true", help="write the report of what is measured so far")
    options.add_argument("--methods", nargs="+", help="the same as --set compare.methods=[...]")
    arguments = options.parse_args()
    if arguments.methods:
        arguments.set.append(f"compare.methods=[{', '.join(arguments.methods)}]")
    config = config_of(arguments)
    connect(arguments.address)
    from diffusegae.comparison.road import Comparison

    comparison = Comparison(config, arguments.seeds, arguments.ablations)
    print(comparison.report() if arguments.report_only else comparison.run())


if __name__ == "__main__":
    run(main)
