"""The settings of camguard: camguard.toml is read completely, or refused with every problem listed."""

from camguard.settings.load import load_settings
from camguard.settings.model import (
    AttributesSettings,
    AuthorizerSettings,
    CatalogSettings,
    ClientIpSettings,
    DecisionLogSettings,
    EnforcementSettings,
    GatewaySettings,
    HostsSettings,
    IdentitySettings,
    LimitsSettings,
    LogSettings,
    MetricsSettings,
    PolicySettings,
    Settings,
)
from camguard.settings.values import Address

__all__ = [
    "Address",
    "AttributesSettings",
    "AuthorizerSettings",
    "CatalogSettings",
    "ClientIpSettings",
    "DecisionLogSettings",
    "EnforcementSettings",
    "GatewaySettings",
    "HostsSettings",
    "IdentitySettings",
    "LimitsSettings",
    "LogSettings",
    "MetricsSettings",
    "PolicySettings",
    "Settings",
    "load_settings",
]
