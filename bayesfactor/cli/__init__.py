"""The command line: each command is a thin line over one verb.

Nothing heavy is imported before a command runs, and whatever is written is written whole or not at all.
"""

from bayesfactor.cli.allocate_command import allocate
from bayesfactor.cli.backtest_command import backtest
from bayesfactor.cli.commands import app, main
from bayesfactor.cli.report_command import report
from bayesfactor.cli.sensitivity_command import sensitivity

__all__ = ["app", "main"]

app.command()(backtest)
app.command()(report)
app.command()(allocate)
app.command()(sensitivity)
