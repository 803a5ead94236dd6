"""Currencies, and amounts as Stripe counts them (https://docs.stripe.com/currencies, read on 2026-11-29)."""

from __future__ import annotations

from decimal import Decimal


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


# ISO 4217, without funds, metals and codes for tests, and without IQD and LYD: of these two, which Stripe does not
# take, it does not say how it counts them.
CODES = _codes(
    """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY
    COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS
    INR IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR
    MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK
    SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST
    XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
    """
)
_WITHOUT_DECIMALS = _codes("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF")
# Whole units, which are counted in hundredths all the same: 5 UGX are 500.
_WHOLE_IN_HUNDREDTHS = _codes("ISK UGX")
# Counted in thousandths, of which the last digit has to be 0.
_IN_THOUSANDTHS = _codes("BHD JOD KWD OMR TND")


def decimals_of(currency: str) -> int:
    """How many decimals an amount may have."""
    return 0 if currency in _WITHOUT_DECIMALS or currency in _WHOLE_IN_HUNDREDTHS else 2


def smallest_units(amount: Decimal, currency: str) -> int:
    """The amount as Stripe takes it. Raises ValueError where it has more decimals than the currency."""
    if amount.scaleb(decimals_of(currency)) % 1:
        raise ValueError(f"{currency} has {decimals_of(currency)} decimals")
    return int(amount.scaleb(_exponent(currency)))


def _exponent(currency: str) -> int:
    if currency in _WITHOUT_DECIMALS:
        return 0
    return 3 if currency in _IN_THOUSANDTHS else 2
