"""erf, in both precisions."""

from __future__ import annotations

from webdnn.lowering.target_wasm.elementary.builder import Num, fma, polynomial, where
from webdnn.lowering.target_wasm.elementary.exponential import exp_of_moderate
from webdnn.lowering.target_wasm.elementary.formats import SINGLE, format_of

_SMALL_SINGLE = (  # erf(x) / x - 1 in x^2, |x| <= 0.92: 2^-25.9
    0.12837915122509003,
    -0.3761250078678131,
    0.11281877011060715,
    -0.026768580079078674,
    0.00499585410580039,
    -0.0006003811722621322,
)
_LARGE_SINGLE = (  # -log(1 - erf(t)) / t, 0.9 <= t <= 3.95: 2^-30.2 in erf
    1.1286410093307495,
    0.6351813077926636,
    0.10618793219327927,
    -0.02372046560049057,
    0.0036230506375432014,
    -0.00031809171196073294,
    1.076633907359792e-05,
)
_SMALL_DOUBLE = (  # erf(x) / x - 1 in x^2, |x| <= 1: 2^-55.2
    0.12837916709551256,
    -0.3761263890318352,
    0.11283791670944185,
    -0.02686617064311144,
    0.005223977606118296,
    -0.0008548325929306829,
    0.00012055293576686918,
    -1.4924712298094114e-05,
    1.6447131524503547e-06,
    -1.6206313408057644e-07,
    1.37109789045861e-08,
    -7.779465729549996e-10,
)
_LARGE_DOUBLE = (  # e^(t^2) erfc(t) in (t - 3) / (t + 3), 1 <= t <= 6: 2^-57.7 in erf
    0.17900115118138993,
    -0.326233560043038,
    0.24560380171232515,
    -0.1501159365004347,
    0.07166583720591345,
    -0.02439249925768707,
    0.004269136283882309,
    0.0007077418209104268,
    -0.00059710372254077,
    4.504622749785947e-05,
    6.338121439137803e-05,
    -1.4315757720237477e-05,
    -1.002349979208055e-05,
    4.256135307756828e-07,
    7.245760975302578e-07,
)

_NUMERATOR = (  # erf(x) / x as a quotient in x^2, |x| <= 3.92: 2^-25.7
    1.1283766031265259,
    0.19040511548519135,
    0.05274850130081177,
    0.0037655748892575502,
    0.00028488185489550233,
    2.0500970094872173e-06,
)
_DENOMINATOR = (
    0.9999977350234985,
    0.502074122428894,
    0.11410850286483765,
    0.01496911235153675,
    0.0011625258484855294,
    3.809176996583119e-05,
)


def erf(x: Num) -> Num:
    """2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x."""
    size = x.abs()
    if format_of(x) is SINGLE:
        t = size.at_most(3.95)
        small = fma(x, polynomial(x * x, _SMALL_SINGLE), x)
        large = 1 - exp_of_moderate(-(t * polynomial(t, _LARGE_SINGLE)))
        return where(size < 0.92, small, large.copysign(x))
    t = size.at_most(6.0)
    small = fma(x, polynomial(x * x, _SMALL_DOUBLE), x)
    scaled = polynomial((t - 3) / (t + 3), _LARGE_DOUBLE)
    large = 1 - exp_of_moderate(-(t * t)) * scaled
    return where(size < 1.0, small, large.copysign(x))


def erf_beside_one(x: Num) -> Num:
    """`erf` with an error of at most 3e-7, which is 5 ulp: in half the time, where 1 is added to it."""
    if format_of(x) is not SINGLE:
        return erf(x)
    x = x.clamp(-3.92, 3.92)
    z = x * x
    z3 = z * z * z

    def halves(coefficients: tuple[float, ...]) -> Num:
        return fma(z3, polynomial(z, coefficients[3:]), polynomial(z, coefficients[:3]))

    return (x * halves(_NUMERATOR) / halves(_DENOMINATOR)).clamp(-1.0, 1.0)
