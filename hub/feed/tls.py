"""Whom the hub trusts over TLS, on WebSockets and REST alike, and what to do about an endpoint that it does not."""

from __future__ import annotations

import ssl

ADVICE = {  # by OpenSSL's number of what is wrong with a certificate
    9: "check the clock of this machine",
    10: "check the clock of this machine; if it is right, the other side has to renew it",
    18: "something answers in the exchange's place; if it is meant to, name its certificate in SSL_CERT_FILE",
    19: "nobody here trusts who signed it; if it is meant (a proxy that looks inside), name that CA in SSL_CERT_FILE",
    20: "nobody here trusts who signed it; are ca-certificates installed, does SSL_CERT_FILE name the right file?",
    62: "check the host in the URL; something else may answer in its place",
}
PROBLEMS = {  # by OpenSSL's word for what else goes wrong
    "UNSUPPORTED_PROTOCOL": "it speaks nothing newer than TLS 1.1; something old stands in between",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks nothing newer than TLS 1.1; something old stands in between",
    "WRONG_VERSION_NUMBER": "what answers there speaks no TLS; check port and scheme of the URL",
}


def context() -> ssl.SSLContext:
    """Return what verifies certificates: TLS 1.2 or newer, the system's roots or those of ``SSL_CERT_FILE``."""
    made = ssl.create_default_context()
    made.options |= ssl.OP_NO_RENEGOTIATION
    return made


def why(error: ssl.SSLError) -> str:
    """Return what is wrong, and what to do about it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        text, advice = error.verify_message.rstrip("."), ADVICE.get(error.verify_code, "")
    else:
        text, advice = str(error), PROBLEMS.get(error.reason or "", "")
    return f"{text} ({advice})" if advice else text
