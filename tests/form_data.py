"""Form data that a browser sends for a new tunnel."""

from __future__ import annotations

MORE = {
    "fieldset": "more",
    "ike_version": "1",
    "initial-ike_version": "1",
    "starts": "either",
    "initial-starts": "either",
    "dpd_seconds": "15",
    "initial-dpd_seconds": "15",
    "initial-one_child_per_pair": "False",
}
ACCESS = {"fieldset": "access", "initial-translated_only": "False"}
PHASE_ONE = {
    "fieldset": "phase_one",
    "remote_peer": "",
    "initial-remote_peer": "",
    "preshared_key": "",
    "phase_one_encryption": "3DES",
    "initial-phase_one_encryption": "3DES",
    "phase_one_authentication": "MD5",
    "initial-phase_one_authentication": "MD5",
    "phase_one_group": "2",
    "initial-phase_one_group": "2",
    "phase_one_keylife": "14400",
    "initial-phase_one_keylife": "14400",
}
