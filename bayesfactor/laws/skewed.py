"""Hansen's skewed Student-t, standardised: mean 0 and variance 1 whatever its tail and skew.

With c the centre density of the standardised t(nu), a = 4 skew c (nu - 2) / (nu - 1) and
b^2 = 1 + 3 skew^2 - a^2, an innovation z has y = (b z + a) / side, side = 1 -/+ skew left/right of -a/b,
and y is a standardised t on either side (Hansen 1994, eq. 10-13). skew = 0 is the standardised t.
"""

import math

import numpy as np
from numba import njit

__all__ = [
    "below_zero",
    "cdf",
    "draw",
    "draws",
    "log_centre",
    "log_densities",
    "log_density",
    "partial_mean",
    "quantiles",
    "shape",
    "shapes",
]


@njit(cache=True, nogil=True, error_model="numpy")
def log_centre(nu: float) -> float:
    """Return log c, the log density of a standardised t(nu) at 0."""
    return math.lgamma(0.5 * (nu + 1.0)) - math.lgamma(0.5 * nu) - 0.5 * math.log(math.pi * (nu - 2.0))


@njit(cache=True, nogil=True, error_model="numpy")
def shape(nu: float, skew: float) -> tuple[float, float]:
    """Return a and b."""
    a = 4.0 * skew * math.exp(log_centre(nu)) * (nu - 2.0) / (nu - 1.0)
    return a, math.sqrt(1.0 + 3.0 * skew * skew - a * a)


@njit(cache=True, nogil=True, error_model="numpy")
def log_density(z: float, nu: float, skew: float) -> float:
    """Return log g(z)."""
    a, b = shape(nu, skew)
    x = b * z + a
    y = x / (1.0 - skew if x < 0.0 else 1.0 + skew)
    return math.log(b) + log_centre(nu) - 0.5 * (nu + 1.0) * math.log1p(y * y / (nu - 2.0))


@njit(cache=True, nogil=True, error_model="numpy")
def draw(rng, nu: float, skew: float, a: float, b: float) -> float:
    """Draw one z, given a and b."""
    y = abs(rng.standard_normal()) * math.sqrt(0.5 * (nu - 2.0) / rng.standard_gamma(0.5 * nu))
    left = rng.random() < 0.5 * (1.0 - skew)
    return ((-(1.0 - skew) if left else 1.0 + skew) * y - a) / b


def _pieces(z: np.ndarray, nu: np.ndarray, skew: np.ndarray) -> tuple[np.ndarray, ...]:
    from scipy.special import gammaln

    nu, skew = np.asarray(nu, dtype=float), np.asarray(skew, dtype=float)
    centre = np.exp(gammaln(0.5 * (nu + 1.0)) - gammaln(0.5 * nu) - 0.5 * np.log(np.pi * (nu - 2.0)))
    a = 4.0 * skew * centre * (nu - 2.0) / (nu - 1.0)
    b = np.sqrt(1.0 + 3.0 * skew**2 - a**2)
    x = b * z + a
    side = np.where(x < 0.0, 1.0 - skew, 1.0 + skew)
    return a, b, centre, side, x / side


def draws(rng: np.random.Generator, nu: np.ndarray, skew: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Draw an array of z."""
    a, b = shapes(nu, skew)
    y = np.abs(rng.standard_normal(shape)) * np.sqrt(0.5 * (nu - 2.0) / rng.standard_gamma(0.5 * nu, shape))
    left = rng.random(shape) < 0.5 * (1.0 - skew)
    return (np.where(left, skew - 1.0, 1.0 + skew) * y - a) / b


def shapes(nu: np.ndarray, skew: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a and b, elementwise."""
    a, b, _, _, _ = _pieces(np.zeros_like(nu), nu, skew)
    return a, b


def log_densities(z: np.ndarray, nu: np.ndarray, skew: np.ndarray) -> np.ndarray:
    """Return log g(z), elementwise."""
    _, b, centre, _, y = _pieces(z, nu, skew)
    return np.log(b * centre) - 0.5 * (nu + 1.0) * np.log1p(y * y / (nu - 2.0))


def cdf(z: np.ndarray, nu: np.ndarray, skew: np.ndarray) -> np.ndarray:
    """Return P(Z <= z), elementwise."""
    from scipy.special import stdtr

    _, _, _, side, y = _pieces(z, nu, skew)
    below = stdtr(nu, y * np.sqrt(nu / (nu - 2.0)))
    return np.where(y < 0.0, side * below, 1.0 - side * (1.0 - below))


def quantiles(n: np.ndarray, nu: np.ndarray, skew: np.ndarray) -> np.ndarray:
    """Return z as rare as the normal number n, elementwise: P(Z <= z) = P(N <= n)."""
    from scipy.special import ndtr, stdtrit

    a, b = shapes(nu, skew)
    left = ndtr(n) < 0.5 * (1.0 - skew)
    side = np.where(left, 1.0 - skew, 1.0 + skew)
    # From the nearer tail, where a chance keeps its digits.
    y = stdtrit(nu, np.minimum(ndtr(np.where(left, n, -n)) / side, 0.5)) * np.sqrt((nu - 2.0) / nu)
    return (side * np.where(left, y, -y) - a) / b


def partial_mean(z: np.ndarray, nu: np.ndarray, skew: np.ndarray) -> np.ndarray:
    """Return E[Z; Z > z], elementwise: what expected shortfall is made of."""
    from scipy.special import stdtr

    a, b, centre, side, y = _pieces(z, nu, skew)
    # A standardised t has E[Y; Y > y] = c (nu - 2 + y^2) / (nu - 1) (1 + y^2 / (nu - 2))^(-(nu + 1) / 2).
    tail = np.exp(-0.5 * (nu + 1.0) * np.log1p(y * y / (nu - 2.0)))
    mean = centre * (nu - 2.0 + y * y) / (nu - 1.0) * tail
    beyond = 1.0 - stdtr(nu, y * np.sqrt(nu / (nu - 2.0)))
    right = side**2 * mean - a * side * beyond
    # Left of the joint, what is below it is taken from the whole, whose mean is 0.
    left = side**2 * mean + a * side * (1.0 - beyond)
    return np.where(y < 0.0, left, right) / b


def below_zero(nu: np.ndarray, skew: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return P(Z < 0) and E[Z^2; Z < 0]: how often bad news comes, and how large it is."""
    from scipy.special import stdtr

    nu, skew = np.asarray(nu, dtype=float), np.asarray(skew, dtype=float)
    a, b, centre, side, at_zero = _pieces(np.zeros_like(nu), nu, skew)

    def below(y: np.ndarray, side: np.ndarray) -> np.ndarray:
        """Return E[(side Y - a)^2; Y < y] of a standardised t."""
        chance = stdtr(nu, y * np.sqrt(nu / (nu - 2.0)))
        tail = np.exp(-0.5 * (nu + 1.0) * np.log1p(y * y / (nu - 2.0)))
        first = -centre * (nu - 2.0 + y * y) / (nu - 1.0) * tail
        second = (nu - 1.0) * stdtr(nu - 2.0, y) - (nu - 2.0) * chance
        return side**2 * second - 2.0 * a * side * first + a**2 * chance

    nothing = np.zeros_like(nu)
    left, right = 1.0 - skew, 1.0 + skew
    whole = left * below(nothing, left) + right * (below(at_zero, right) - below(nothing, right))
    square = np.where(at_zero < 0.0, side * below(at_zero, side), whole) / b**2
    return cdf(nothing, nu, skew), square
