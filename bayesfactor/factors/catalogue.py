"""The small catalogue of traded factors: what each is, what it needs, where it comes from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pandas as pd

from bayesfactor.calls import verb
from bayesfactor.errors import PanelError, unknown_names
from bayesfactor.factors import signals

__all__ = ["MARKET", "SECTOR", "TRADED", "TradedFactor", "chosen", "list_factors"]

MARKET: Final = "market"
SECTOR: Final = "sector"


@dataclass(frozen=True)
class TradedFactor:
    """One row of the catalogue.

    Parameters
    ----------
    name, family, what : str
    needs : tuple of str
        Of `market_cap`, `volume`, `groups`, beside prices.
    days : float
        Length of the signal's window.
    signal : callable or None
        High where the factor is long; None for portfolios that need no signal.
    source : str
    unit_betas : bool
        Whether each leg is levered to a beta of 1; the signal is minus the beta.
    """

    name: str
    family: str
    what: str
    needs: tuple[str, ...]
    days: float
    signal: Callable[[signals.Market, float], pd.DataFrame] | None
    source: str
    unit_betas: bool = False

    @property
    def rotates(self) -> bool:
        """Whether coins change sides."""
        return self.signal is not None


_LTW: Final = "Liu, Tsyvinski and Wu (2022), Common Risk Factors in Cryptocurrency, J. Finance 77(2)"

TRADED: Final = {
    f.name: f
    for f in (
        TradedFactor(
            MARKET,
            "market",
            "all coins, weighted by capitalisation; equally without market_cap",
            (),
            0,
            None,
            f"{_LTW}, sec. I",
        ),
        TradedFactor(
            "size",
            "style",
            "small minus big by market capitalisation",
            ("market_cap",),
            0,
            signals.smallness,
            f"{_LTW}, sec. II.A",
        ),
        TradedFactor(
            "momentum",
            "style",
            "winners minus losers of three weeks",
            (),
            21,
            signals.momentum,
            f"{_LTW}, sec. II.B",
        ),
        TradedFactor(
            "reversal",
            "style",
            "losers minus winners of one day",
            (),
            1,
            signals.reversal,
            "Zaremba et al. (2021), Up or down? Int. Rev. Financial Analysis 78",
        ),
        TradedFactor(
            "volatility",
            "style",
            "calm minus wild by standard deviation of 30 days",
            (),
            30,
            signals.realised_volatility,
            "Ang, Hodrick, Xing and Zhang (2006), J. Finance 61(1)",
        ),
        TradedFactor(
            "bab",
            "style",
            "betting against beta of 90 days: low minus high, each leg levered to a beta of 1",
            (),
            90,
            signals.market_beta,
            "Frazzini and Pedersen (2014), Betting against beta, JFE 111(1), eq. 16 and 17",
            unit_betas=True,
        ),
        TradedFactor(
            "liquidity",
            "liquidity",
            "illiquid minus liquid by |return| over traded value of 30 days",
            ("volume",),
            30,
            signals.amihud,
            "Amihud (2002), J. Financial Markets 5(1), eq. 1",
        ),
        TradedFactor(
            SECTOR,
            "sector",
            "one factor per sector: its coins minus the market",
            ("groups",),
            0,
            None,
            "as the industry factors of Barra-type models",
        ),
    )
}


@verb
def list_factors() -> pd.DataFrame:
    """Return the catalogue of traded factors that `bf.build_factors` can form.

    Returns
    -------
    DataFrame
        Indexed by name; columns `family`, `what`, `needs`, `days` (of the signal's window) and
        `source`.

    Examples
    --------
    >>> import bayesfactor as bf
    >>> bf.list_factors().loc["momentum", "days"]
    21.0
    """
    rows = [(f.name, f.family, f.what, ", ".join(f.needs), float(f.days), f.source) for f in TRADED.values()]
    return pd.DataFrame(rows, columns=["name", "family", "what", "needs", "days", "source"]).set_index("name")


def chosen(which: object, given: set[str]) -> list[TradedFactor]:
    """Return the factors asked for in the catalogue's order; None means all that can be formed.

    Raises
    ------
    PanelError
        If a name is unknown, or a factor needs data that are not given.
    """
    if which is None:
        return [f for f in TRADED.values() if set(f.needs) <= given]
    names = [which] if isinstance(which, str) else [str(w) for w in which]  # type: ignore[attr-defined]
    strangers = [n for n in names if n not in TRADED]
    if strangers or not names:
        got = unknown_names(strangers, TRADED) or "none"
        msg = f"which= names factors of bf.list_factors(): {', '.join(TRADED)}; got {got}."
        raise PanelError(msg)
    for name in names:
        lacking = [n for n in TRADED[name].needs if n not in given]
        if lacking:
            needs = ", ".join(f"{n}=" for n in lacking)
            msg = f"factor {name!r} needs {needs}; none was given. Give it, or leave {name!r} out of which=."
            raise PanelError(msg)
    return [f for f in TRADED.values() if f.name in names]
