"""`Positions`: what they are worth, what they gain per unit of what moves, and what a move makes of them.

Money throughout. A return r of the underlying takes its price, or forward, F to F (1 + r), and an implied
volatility s to s (1 - kappa r). To second order in r and first order in time a position gains

    slope r + curvature r^2 / 2 + carry
    slope     = delta - kappa s vega
    curvature = gamma - 2 kappa s vanna + kappa^2 s^2 volga

Rows are added up in an order of their own, so that the order of the table changes no digit.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import PositionsError, unknown_names
from bayesfactor.positions import black
from bayesfactor.positions.kappa import kappa_for

__all__ = ["Positions"]

_SUMS: Final = ("value", "delta", "gamma", "vega", "theta", "funding")


@verb
@dataclass(frozen=True, eq=False)
class Positions:
    """Positions in spot, perpetuals and options, from `bf.read_positions`.

    Parameters
    ----------
    rows : DataFrame
        One row per position, in the columns of the table that was read; NaN where a column says nothing
        about an instrument.
    """

    rows: pd.DataFrame

    def __repr__(self) -> str:
        """Return the table with what each position is worth and its sensitivities."""
        count = f"{len(self.rows)} position{'s' if len(self.rows) > 1 else ''}"
        return f"{count}, worth {self.value:,.2f}\n{self.table().to_string(float_format='{:,.6g}'.format)}"

    @cached_property
    def assets(self) -> tuple[str, ...]:
        """The underlyings, in canonical order."""
        names = self.rows[s.ASSET].unique()
        return tuple(names[s.canonical_order(names)])

    @property
    def value(self) -> float:
        """Mark to market: spot and options at their price.

        A perpetual is worth nothing at its mark, and the worth of rows of greeks is not known: both count 0.
        """
        return float(self._each["value"].sum())

    @property
    def notional(self) -> np.ndarray:
        """|quantity x price| by underlying (asset): an option as its underlying, greeks by their delta."""
        rows = self._sorted
        size = (rows["quantity"] * rows["price"]).fillna(rows["delta"]).fillna(0.0)
        return self._by_asset(np.abs(size.to_numpy("float64")))

    def table(self, period_days: float = 1.0) -> pd.DataFrame:
        """Return the positions with value, delta, gamma, vega, theta and funding of each.

        Parameters
        ----------
        period_days : float
            Days in a period, to which theta and funding refer.

        Returns
        -------
        DataFrame
            One row per position as it was read. `delta`: money per 100 % return of the underlying.
            `gamma`: money per (100 % return)^2, so that the gain is delta r + gamma r^2 / 2. `vega`: money
            per 1.00 of implied volatility. `theta`: money gained, `funding`: money paid per period.
        """
        wanted = self._periodic(self._each, period_days)[list(_SUMS)].sort_index()
        what = self.rows[[s.ASSET, "instrument", "type", "quantity", "price", "strike", "days"]]
        return pd.concat([what.dropna(axis=1, how="all"), wanted], axis=1)

    def exposures(self, period_days: float = 1.0) -> pd.DataFrame:
        """Return value, delta, gamma, vega, theta and funding by underlying, in the units of `table`."""
        found = self._periodic(self._each, period_days)[list(_SUMS)].to_numpy()
        return pd.DataFrame(self._by_asset(found), index=pd.Index(self.assets, name=s.ASSET), columns=_SUMS)

    def revalue(
        self,
        returns: Any,
        days_passed: float = 0.0,
        kappa: Any = 0.0,
        *,
        period_days: float = 1.0,
    ) -> pd.DataFrame | pd.Series:
        """Return what positions gain when underlyings move, options repriced in full by Black (1976).

        Parameters
        ----------
        returns : DataFrame (scenario, asset), Series or mapping (asset)
            Returns of the underlyings as fractions; below -1 an option's forward is 0.
        days_passed : float
            An option that expires on the way pays what it is worth to exercise at the price given.
        kappa : float or mapping (asset)
            An implied volatility s moves to s (1 - kappa r), at least 0. Where not named: 0.
        period_days : float
            Days in a period, to which funding and the theta of rows of greeks refer.

        Returns
        -------
        DataFrame (scenario, asset) or Series (asset)
            Money.

        Raises
        ------
        PositionsError
            If an underlying has no return, a number is out of range, or a volatility that kappa moves is
            not known.
        """
        if not np.isfinite(days_passed) or days_passed < 0.0:
            msg = f"days_passed is a number of days, at least 0; got {days_passed!r}."
            raise PositionsError(msg)
        table = returns if isinstance(returns, pd.DataFrame) else pd.Series(returns).to_frame().T
        missing = [a for a in self.assets if a not in table.columns]
        if missing:
            msg = (
                f"every underlying has a return; none for {unknown_names(missing, map(str, table.columns))}. "
                "Give 0 to what does not move."
            )
            raise PositionsError(msg)
        moves = table[list(self.assets)].to_numpy(dtype="float64")
        if not np.isfinite(moves).all():
            msg = "returns are finite; got NaN or infinity. Give 0 to what does not move."
            raise PositionsError(msg)
        k = self.kappa(kappa)
        gains = moves * self.slope(k) + self.carry(days_passed, period_days, full=True)
        gains = gains + self.nonlinear(moves, days_passed, k, full=True)
        if isinstance(returns, pd.DataFrame):
            return pd.DataFrame(gains, index=table.index, columns=list(self.assets))
        return pd.Series(gains[0], index=list(self.assets))

    # --- what risk reads: arrays over the underlyings -------------------------------------------

    def kappa(self, kappa: Any) -> np.ndarray:
        """Return kappa of each underlying (asset), and refuse to move volatilities that are not known."""
        found = kappa_for(kappa, self.assets)
        each = self._each
        moved = found[self._at] != 0.0
        blind = moved & (each["vega"].to_numpy() != 0.0) & ~np.isfinite(each["volatility"].to_numpy())
        if blind.any():
            row = each.index[blind].min() + 1
            msg = (
                f"row {row} has vega and no implied_volatility, and kappa moves volatility in proportion to "
                "it. Give implied_volatility in that row, or kappa=0 for its asset."
            )
            raise PositionsError(msg)
        return found

    def slope(self, kappa: np.ndarray) -> np.ndarray:
        """Return the gain per 100 % return to first order (asset)."""
        return self._by_asset(self._slopes(kappa))

    def curvature(self, kappa: np.ndarray) -> np.ndarray:
        """Return twice the gain's second order in the return (asset)."""
        return self._by_asset(self._curvatures(kappa))

    def carry(self, days: float, period_days: float, *, full: bool) -> np.ndarray:
        """Return the gain of time that passes (asset): theta and funding; `full`: options priced anew."""
        each = self._periodic(self._each, period_days)
        gain = days / period_days * (each["theta"].to_numpy() - each["funding"].to_numpy())
        if full and days > 0.0:
            later = self._worth(np.zeros((1, len(self.assets))), days, np.zeros(len(self.assets)))[0]
            gain[self._options] = later - each["value"].to_numpy()[self._options]
        return self._by_asset(gain)

    def nonlinear(self, returns: np.ndarray, days: float, kappa: np.ndarray, *, full: bool) -> np.ndarray:
        """Return what is gained beyond slope and carry (scenario, asset) for returns (scenario, asset)."""
        if not full:
            return 0.5 * self.curvature(kappa) * returns**2
        plain = np.where(self._options, 0.0, self._curvatures(kappa))
        out = 0.5 * self._by_asset(plain) * returns**2
        if self._options.any():
            still = self._worth(np.zeros((1, len(self.assets))), days, np.zeros(len(self.assets)))
            slopes, at = self._slopes(kappa)[self._options], self._at[self._options]
            beyond = self._worth(returns, days, kappa) - still - slopes * returns[:, at]
            for j, i in enumerate(at):
                out[:, i] += beyond[:, j]
        return out

    @cached_property
    def curved(self) -> np.ndarray:
        """Whether an underlying's gain is no straight line in its return (asset)."""
        each = self._each
        bent = np.logical_or.reduce([each[c].to_numpy() != 0.0 for c in ("gamma", "vanna", "volga")])
        return np.isin(np.arange(len(self.assets)), self._at[bent | self._options])

    def first_expiry(self) -> tuple[str, float] | None:
        """Return asset and days of the option that expires first."""
        options = self.rows[self.rows["instrument"] == "option"]
        if not len(options):
            return None
        at = int(options["days"].to_numpy().argmin())
        return str(options[s.ASSET].iloc[at]), float(options["days"].iloc[at])

    @cached_property
    def _each(self) -> pd.DataFrame:
        """Value and sensitivities of each row, rows in an order that the table's order does not change.

        `theta` of options is per day; that of rows of greeks, and funding, are per period, see `_periodic`.
        """
        rows = self._sorted
        notional = rows["quantity"] * rows["price"]
        kind = rows["instrument"]
        each = rows[["delta", "gamma", "vega", "theta"]].fillna(0.0)
        each = each.assign(value=0.0, vanna=0.0, volga=0.0, funding=0.0)
        each["volatility"] = rows["implied_volatility"]
        straight = kind.isin(["spot", "perpetual"])
        each.loc[straight, "delta"] = notional[straight]
        each.loc[kind == "spot", "value"] = notional[kind == "spot"]
        each["funding"] = (notional * rows["funding"]).where(kind == "perpetual", 0.0).fillna(0.0)
        option = kind == "option"
        if option.any():
            terms, size, forward = self._terms, self._terms.quantity, self._terms.forward
            one = black.sensitivities(*terms.law)
            each.loc[option, "value"] = size * black.price(*terms.law)
            each.loc[option, "delta"] = size * forward * one.delta
            each.loc[option, "gamma"] = size * forward**2 * one.gamma
            each.loc[option, "vega"] = size * one.vega
            each.loc[option, "vanna"] = size * forward * one.vanna
            each.loc[option, "volga"] = size * one.volga
            each.loc[option, "theta"] = size * one.theta / black.DAYS_PER_YEAR
        return each

    def _periodic(self, each: pd.DataFrame, period_days: float) -> pd.DataFrame:
        """Return the same with all of theta per period."""
        return each.assign(theta=each["theta"].where(~self._options, each["theta"] * period_days))

    @cached_property
    def _sorted(self) -> pd.DataFrame:
        return self.rows.sort_values(list(self.rows.columns), kind="stable")

    @cached_property
    def _at(self) -> np.ndarray:
        """Position among `assets` of each row's underlying."""
        places = {name: i for i, name in enumerate(self.assets)}
        return np.array([places[a] for a in self._sorted[s.ASSET]])

    @cached_property
    def _options(self) -> np.ndarray:
        return (self._sorted["instrument"] == "option").to_numpy()

    @cached_property
    def _terms(self) -> "_Terms":
        found = self._sorted[self._options]
        number = {
            c: found[c].fillna(0.0).to_numpy("float64") for c in ("quantity", "price", "strike", "days")
        }
        return _Terms(
            quantity=number["quantity"],
            forward=number["price"],
            strike=number["strike"],
            days=number["days"],
            volatility=found["implied_volatility"].to_numpy("float64"),
            rate=found["rate"].fillna(0.0).to_numpy("float64"),
            call=(found["type"] == "call").to_numpy(),
        )

    def _by_asset(self, values: np.ndarray) -> np.ndarray:
        """Add up rows (row, ...) by underlying (asset, ...)."""
        out = np.zeros((len(self.assets), *values.shape[1:]))
        np.add.at(out, self._at, values)
        return out

    def _slopes(self, kappa: np.ndarray) -> np.ndarray:
        each = self._each
        return each["delta"].to_numpy() - self._moved(kappa) * each["vega"].to_numpy()

    def _curvatures(self, kappa: np.ndarray) -> np.ndarray:
        each, moved = self._each, self._moved(kappa)
        vanna, volga = each["vanna"].to_numpy(), each["volga"].to_numpy()
        return each["gamma"].to_numpy() - 2.0 * moved * vanna + moved**2 * volga

    def _moved(self, kappa: np.ndarray) -> np.ndarray:
        """Return by how much each row's volatility falls per 100 % return."""
        return kappa[self._at] * self._each["volatility"].fillna(0.0).to_numpy()

    def _worth(self, returns: np.ndarray, days: float, kappa: np.ndarray) -> np.ndarray:
        """Return what each option is worth (scenario, option) after a move and some days."""
        terms, at = self._terms, self._at[self._options]
        moves = returns[:, at]
        forward = terms.forward * np.maximum(1.0 + moves, 0.0)
        volatility = terms.volatility * np.maximum(1.0 - kappa[at] * moves, 0.0)
        # Not below 0: an option that expired on the way pays at its expiry.
        years = np.maximum(terms.days - days, 0.0) / black.DAYS_PER_YEAR
        return terms.quantity * black.price(forward, terms.strike, years, volatility, terms.rate, terms.call)


@dataclass(frozen=True)
class _Terms:
    """Terms of the options, one each."""

    quantity: np.ndarray
    forward: np.ndarray
    strike: np.ndarray
    days: np.ndarray
    volatility: np.ndarray
    rate: np.ndarray
    call: np.ndarray

    @property
    def law(self) -> tuple[np.ndarray, ...]:
        """What Black's formula takes."""
        return (
            self.forward,
            self.strike,
            self.days / black.DAYS_PER_YEAR,
            self.volatility,
            self.rate,
            self.call,
        )
