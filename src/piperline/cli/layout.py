"""`piperline layout`: the layouts there are."""

from piperline.cli.console import Output
from piperline.recordings.layout import builtin_layouts, layout_text, load_layout


def list_layouts() -> None:
    """List the built-in layouts."""
    output = Output()
    for name in builtin_layouts():
        output.data(f"{name:8} {load_layout(name).description}")


def show(name: str) -> None:
    """Print a built-in layout as TOML, to start one's own from.

    Args:
        name: a name from `piperline layout list`.
    """
    Output().data(layout_text(name).rstrip())
