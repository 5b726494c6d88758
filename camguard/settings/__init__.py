"""camguard.toml: what an operator may set, read whole or refused with every problem named."""

from camguard.settings.load import load_settings
from camguard.settings.model import (
    CatalogSettings,
    ClientIpSettings,
    DecisionLogSettings,
    EnforcementSettings,
    GatewaySettings,
    HostsSettings,
    IdentitySettings,
    LimitsSettings,
    MetricsSettings,
    PolicySettings,
    Settings,
)
from camguard.settings.values import Address

__all__ = [
    "Address",
    "CatalogSettings",
    "ClientIpSettings",
    "DecisionLogSettings",
    "EnforcementSettings",
    "GatewaySettings",
    "HostsSettings",
    "IdentitySettings",
    "LimitsSettings",
    "MetricsSettings",
    "PolicySettings",
    "Settings",
    "load_settings",
]
