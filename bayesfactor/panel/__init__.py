"""The door: anything tabular comes in, one labelled panel (a Dataset) goes on.

Whatever leaves this room is regular in time, finite where it is not missing, and named; all later
rooms rely on that and check nothing again but `check_panel`.
"""

from bayesfactor.panel.construct import panel_from_prices, panel_from_returns
from bayesfactor.panel.contract import check_panel, check_span, panel_digests
from bayesfactor.panel.openings import open_factors
from bayesfactor.panel.twins import refuse_copies

__all__ = [
    "check_panel",
    "check_span",
    "open_factors",
    "panel_digests",
    "panel_from_prices",
    "panel_from_returns",
    "refuse_copies",
]
