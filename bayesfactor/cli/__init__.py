"""The command line: each command is a thin line over one verb.

Nothing heavy is imported before a command runs, and whatever is written is written whole or not at all.
"""

from bayesfactor.cli.allocate_command import allocate
from bayesfactor.cli.backtest_command import backtest
from bayesfactor.cli.commands import app, main
from bayesfactor.cli.forecast_command import forecast
from bayesfactor.cli.report_command import report
from bayesfactor.cli.risk_command import risk
from bayesfactor.cli.sensitivity_command import sensitivity
from bayesfactor.cli.stress_command import stress
from bayesfactor.cli.trades_command import trades
from bayesfactor.cli.update_command import update

__all__ = ["app", "main"]

app.command()(risk)
app.command()(allocate)
app.command()(backtest)
app.command()(forecast)
app.command()(report)
app.command()(sensitivity)
app.command()(trades)
app.command()(stress)
app.command()(update)
