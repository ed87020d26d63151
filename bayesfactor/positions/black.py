"""Black's formula (1976): options on a forward, and what they are worth per unit of what moves.

With F the forward, K the strike, T years, s the volatility, r the rate and d = log(F / K) / (s sqrt T),

    call = exp(-r T) (F N(d + s sqrt(T) / 2) - K N(d - s sqrt(T) / 2)),     put = call - exp(-r T) (F - K)

At T = 0 or s = 0 it is what exercise pays.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtr

__all__ = ["DAYS_PER_YEAR", "Sensitivities", "price", "sensitivities"]

DAYS_PER_YEAR: Final = 365.0
"""Volatilities and rates are per year of so many days: crypto trades on all of them."""


@dataclass(frozen=True)
class Sensitivities:
    """Derivatives of the price of one option, F being the forward and s the volatility.

    Parameters
    ----------
    delta, gamma : ndarray
        dV/dF and d2V/dF2.
    vega, volga : ndarray
        dV/ds and d2V/ds2, s in units of 1.00.
    vanna : ndarray
        d2V/dF ds.
    theta : ndarray
        Change of value per year that passes.
    """

    delta: np.ndarray
    gamma: np.ndarray
    vega: np.ndarray
    vanna: np.ndarray
    volga: np.ndarray
    theta: np.ndarray


def price(
    forward: np.ndarray,
    strike: np.ndarray,
    years: np.ndarray,
    volatility: np.ndarray,
    rate: np.ndarray,
    call: np.ndarray,
) -> np.ndarray:
    """Return what one option is worth; arguments broadcast, `call` is 1 for a call and 0 for a put."""
    forward, side = np.asarray(forward, dtype="float64"), np.where(call, 1.0, -1.0)
    spread = volatility * np.sqrt(years)
    with np.errstate(divide="ignore", invalid="ignore"):
        d = np.log(forward / strike) / spread
        # 0 / 0 is an option exactly at the money that has no time left: it pays nothing either way.
        d = np.where(np.isnan(d), 0.0, d)
    above, below = side * (d + 0.5 * spread), side * (d - 0.5 * spread)
    return np.exp(-rate * years) * side * (forward * ndtr(above) - strike * ndtr(below))


def sensitivities(
    forward: np.ndarray,
    strike: np.ndarray,
    years: np.ndarray,
    volatility: np.ndarray,
    rate: np.ndarray,
    call: np.ndarray,
) -> Sensitivities:
    """Return derivatives of what one option is worth; years and volatility are positive."""
    root = np.sqrt(years)
    spread = volatility * root
    d1 = np.log(forward / strike) / spread + 0.5 * spread
    d2 = d1 - spread
    discount = np.exp(-rate * years)
    bell = discount * np.exp(-0.5 * d1 * d1) / np.sqrt(2.0 * np.pi)
    value = price(forward, strike, years, volatility, rate, call)
    vega = forward * bell * root
    return Sensitivities(
        delta=discount * (ndtr(d1) - np.where(call, 0.0, 1.0)),
        gamma=bell / (forward * spread),
        vega=vega,
        vanna=-bell * d2 / volatility,
        volga=vega * d1 * d2 / volatility,
        theta=rate * value - 0.5 * forward * bell * volatility / root,
    )
