"""Why a cluster can not be used, in words."""

import ssl

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from broker.transports.kafka.oauth import TokenError

# What waiting does not mend.
_LASTING = (
    ClusterAuthorizationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
    ssl.SSLCertVerificationError,
)


def is_lasting(error: Exception) -> bool:
    """Whether waiting does not mend it."""
    return isinstance(error, _LASTING) or (isinstance(error, TokenError) and error.lasting)


def in_words(error: Exception) -> str:
    """What it says of the cluster, for who has set it up."""
    match error:
        case TokenError():
            return error.message
        case SaslAuthenticationFailed() if "invalid_token" in str(error):
            return "it does not accept this client's token; what it wants of one, its own log says"
        case SaslAuthenticationFailed():
            return "it does not accept this user, password and mechanism"
        case UnsupportedSaslMechanismError() | IllegalSaslStateError():
            return "it lets nobody in by this mechanism"
        case ClusterAuthorizationFailedError():
            return "it lets this user write to no topic (or, an older one, not be an idempotent writer)"
        case TopicAuthorizationFailedError():
            return f"it does not let this user read or write {', '.join(map(str, error.args))}"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({error.verify_message}); ca_file names one that is"
        case KafkaConnectionError() | ConnectionResetError():
            return "it closes the connection: TLS (kafkas://) or a user is wanted there, or is not"
        case ConnectionRefusedError():
            return "nobody listens there"
        case OSError() if error.strerror:
            return error.strerror
        case _:
            return str(error) or "it does not answer"
